package libzbox

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/bxrne/zbox/criu"
	"github.com/bxrne/zbox/host"
)

// CriuOptions are those that checkpoint and restore share. See criu(8) for what they mean to CRIU.
type CriuOptions struct {
	ImagePath string // directory of the image
	WorkPath  string // directory of CRIU's log; "" is ImagePath
	// ManageCgroups is soft, full, strict or ignore; "" is soft.
	ManageCgroups       string
	EmptyNamespaces     []string // OCI names of namespaces that are made anew, but whose content is neither saved nor restored
	NetworkLock         string   // iptables, nftables or skip; "" is iptables
	TCPEstablished      bool
	ExternalUnixSockets bool
	ShellJob            bool
	FileLocks           bool
	AutoDedup           bool
	LazyPages           bool
}

// The names of CRIU's logs, as runc has them: podman copies them from there.
const (
	dumpLog    = "dump.log"
	restoreLog = "restore.log"
)

// criuConfigAnnotation names a file with settings for CRIU that win over those of the command line; "" is none.
const criuConfigAnnotation = "org.criu.config"

// request converts the options, and opens the directory of the log; done closes it again, and the image's directory, as an error does.
func (o *CriuOptions) request(log string, images *os.File, annotations map[string]string) (_ *criu.Options, done func(), err error) {
	defer func() {
		if err != nil {
			images.Close()
		}
	}()
	r := &criu.Options{
		LogFile: log, ConfigFile: criuConfigFile(annotations), ManageCgroups: o.ManageCgroups, NetworkLock: o.NetworkLock,
		TCPEstablished: o.TCPEstablished, ExtUnixSk: o.ExternalUnixSockets, ShellJob: o.ShellJob, FileLocks: o.FileLocks,
		AutoDedup: o.AutoDedup, LazyPages: o.LazyPages,
	}
	for _, name := range o.EmptyNamespaces {
		kind, ok := namespaceTypes[name]
		if !ok {
			return nil, nil, fmt.Errorf("--empty-ns: there is no %q namespace", name)
		}
		r.EmptyNamespaces |= uint32(kind)
	}
	r.ImagesDirFD = int(images.Fd())
	work, err := openMade(o.logDir())
	if err != nil {
		return nil, nil, fmt.Errorf("directory of CRIU's log: %w", err)
	}
	r.WorkDirFD = int(work.Fd())
	return r, func() { images.Close(); work.Close() }, nil
}

// logDir is the directory of CRIU's log, in which it works.
func (o *CriuOptions) logDir() string { return cmp.Or(o.WorkPath, o.ImagePath) }

// openMade opens a directory that is written to, and makes it if it is missing. What comes into it holds the memory of processes, and CRIU
// follows the links that it finds there: it is nobody else's.
func openMade(path string) (*os.File, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	return openOwn(path)
}

// openOwn opens a directory that is to be the caller's alone.
func openOwn(path string) (*os.File, error) {
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	err = unix.Fstat(int(dir.Fd()), &st)
	switch {
	case err != nil:
	case st.Mode&0o022 != 0:
		err = fmt.Errorf("others may write to %s (mode %04o): choose another directory, or one below it", path, st.Mode&0o7777)
	case int(st.Uid) != os.Geteuid():
		err = fmt.Errorf("%s belongs to uid %d, not to the caller", path, st.Uid)
	}
	if err != nil {
		dir.Close()
		return nil, err
	}
	return dir, nil
}

// criuConfigFile is the file of the annotation, or else the first that there is of ours and runc's.
func criuConfigFile(annotations map[string]string) string {
	if file, ok := annotations[criuConfigAnnotation]; ok {
		return file
	}
	for _, file := range []string{"/etc/criu/zbox.conf", "/etc/criu/runc.conf"} {
		if unix.Access(file, unix.F_OK) == nil {
			return file
		}
	}
	return ""
}

// explain adds to an error of CRIU what its log says, and where it is.
func (o *CriuOptions) explain(err error, log string) error {
	var failure *criu.Error
	if !errors.As(err, &failure) {
		return err
	}
	path, _ := filepath.Abs(filepath.Join(o.logDir(), log))
	if line := firstError(path); line != "" {
		failure.Text = line
	}
	return fmt.Errorf("%w (%s has the whole story)", err, path)
}

// firstError is the first error in a log of CRIU, without its time: the others follow from it.
func firstError(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	line := regexp.MustCompile(`^\([0-9.]+\) .*?Error \([^)]*\): (.*)`)
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if found := line.FindStringSubmatch(lines.Text()); found != nil {
			return found[1]
		}
	}
	return ""
}

// privileged: CRIU reads and writes what belongs to the kernel.
func (r *Runtime) privileged() error {
	found, err := host.Probe()
	if err == nil && (found.EUID != 0 || found.InUserns) {
		err = errors.New("checkpoints need the host's root: CRIU cannot save and restore rootless containers")
	}
	return err
}

// externalNamespaces are those that an image refers to by a name, if they are the container's by path: CRIU's keys for them are free, these
// are runc's.
var externalNamespaces = []struct {
	kind specs.LinuxNamespaceType
	file string // below /proc/PID/ns
	key  string
}{
	{specs.NetworkNamespace, "net", "extRootNetNS"},
	{specs.PIDNamespace, "pid", "extRootPidNS"},
}
