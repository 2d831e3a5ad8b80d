package shim

import (
	"errors"
	"fmt"

	"github.com/containerd/containerd/errdefs"

	"github.com/bxrne/zbox/libzbox"
)

// statusError gives an error the status code that containerd goes by.
func statusError(err error) error {
	var kind error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, libzbox.ErrNotExist), errors.Is(err, libzbox.ErrNotRunning):
		kind = errdefs.ErrNotFound
	case errors.Is(err, libzbox.ErrExist):
		kind = errdefs.ErrAlreadyExists
	case errors.Is(err, libzbox.ErrPaused), errors.Is(err, libzbox.ErrNotPaused):
		kind = errdefs.ErrFailedPrecondition
	case errors.Is(err, libzbox.ErrInvalidID):
		kind = errdefs.ErrInvalidArgument
	default:
		return errdefs.ToGRPC(err)
	}
	return errdefs.ToGRPC(fmt.Errorf("%w: %w", err, kind))
}

// notFound, precondition and invalid are errors of the shim itself.
func notFound(format string, args ...any) error {
	return errdefs.ToGRPCf(errdefs.ErrNotFound, format, args...)
}

func precondition(format string, args ...any) error {
	return errdefs.ToGRPCf(errdefs.ErrFailedPrecondition, format, args...)
}

func invalid(format string, args ...any) error {
	return errdefs.ToGRPCf(errdefs.ErrInvalidArgument, format, args...)
}
