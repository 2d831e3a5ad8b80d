// Package sandbox tests what `zbox -c FILE` promises: the configuration, the limits, the isolation and the use of sandboxes.
package sandbox
