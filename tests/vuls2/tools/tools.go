//go:build tools

// Package tools pins a Vuls that reads vuls2 databases, the tool that makes them, and all they are built from.
package tools

import (
	_ "github.com/MaineK00n/vuls2/cmd/vuls"
	_ "github.com/future-architect/vuls/cmd/vuls"
)
