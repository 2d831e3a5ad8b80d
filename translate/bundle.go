package translate

// rootfsDir is the directory of the bundle with the sandbox's file system.
const rootfsDir = "rootfs"

// Bundle writes dir/config.json and dir/rootfs.
func (c *Config) Bundle(dir string, args []string, o Options) (warnings []string, err error) {
	return nil, nil
}
