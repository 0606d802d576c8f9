//go:build tools

// Package tools pins goval-dictionary and everything it is built from, with checksums.
package tools

import _ "github.com/vulsio/goval-dictionary"
