//go:build tools

// Package tools pins gost and everything it is built from, with checksums.
package tools

import _ "github.com/vulsio/gost"
