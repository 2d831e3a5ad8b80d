package main

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/bxrne/zbox/libzbox"
	"github.com/bxrne/zbox/translate"
)

// runSandbox is `zbox -c FILE [-- ARGS...]`: the configuration becomes a bundle that lives as long as the sandbox does. The exit
// status of its process is the error.
func runSandbox(c *cli.Context) error {
	cfg, err := translate.Load(c.String("config"))
	if err != nil {
		return err
	}
	rt, err := openRuntime(c)
	if err != nil {
		return err
	}
	o, err := bundleOptions()
	if err != nil {
		return err
	}
	id, err := sandboxID(cfg.Name)
	if err != nil {
		return err
	}
	dir, err := makeBundleDir(c, rt, id)
	if err != nil {
		return fmt.Errorf("making the bundle: %w", err)
	}
	defer dir.remove()
	bundle := filepath.Join(dir.path, "bundle")
	if err := writeBundle(cfg, bundle, c.Args().Slice(), o, reportOf(c)); err != nil {
		return err
	}
	return runForeground(rt, id, libzbox.CreateOptions{Bundle: bundle, TakeConsole: true, ConsoleSize: callersSize()}, false, reportOf(c))
}

// bundleOptions are the facts of this machine; the sandbox has a terminal when the caller has one.
func bundleOptions() (translate.Options, error) {
	o, err := translate.HostOptions()
	o.Terminal = isTerminal(os.Stdin) && isTerminal(os.Stdout)
	o.Term = os.Getenv("TERM")
	return o, err
}

func writeBundle(cfg *translate.Config, dir string, args []string, o translate.Options, rep *report) error {
	warnings, err := cfg.Bundle(dir, args, o)
	for _, w := range warnings {
		rep.warn(w)
	}
	return err
}

// sandboxID makes an ID of its own for each run, so that one configuration can run many times at once.
func sandboxID(name string) (string, error) {
	var suffix [4]byte
	if _, err := rand.Read(suffix[:]); err != nil {
		return "", fmt.Errorf("making an ID: %w", err)
	}
	return name + "-" + hex.EncodeToString(suffix[:]), nil
}
