//go:build tools

// Package tools pins Vuls and everything it is built from, with checksums.
package tools

import _ "github.com/future-architect/vuls/cmd/vuls"
