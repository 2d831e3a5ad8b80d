// In the place of the Go runtime's file of this name when `make build` builds (go build -overlay); see ../doc.go. It defines the same
// functions, for Go 1.26.
package runtime

func defaultGOMAXPROCSInit() {}

func defaultGOMAXPROCSUpdateGODEBUG() {}

// defaultGOMAXPROCS is one while the program starts, when the runtime knows the number of processors already.
func defaultGOMAXPROCS(ncpu int32) int32 {
	if ncpu > 0 {
		return 1
	}
	return getCPUCount()
}
