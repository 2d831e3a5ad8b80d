//go:build !cgo

package arena
