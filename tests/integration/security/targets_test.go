package security

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/bxrne/zbox/tests/integration"
	"github.com/bxrne/zbox/tests/integration/report"
)

func tmpfsAt(path string) specs.Mount {
	return specs.Mount{Destination: path, Type: "tmpfs", Source: "attack", Options: []string{"nosuid"}}
}

func bindAt(source, path string) specs.Mount {
	return specs.Mount{Destination: path, Type: "bind", Source: source, Options: []string{"bind"}}
}

// A link in the image leads a mount's target out of the root, for a resolver that knows no root.
func TestMountTargetsAreResolvedInTheRoot_CVE_2019_18837(t *testing.T) {
	for _, test := range []struct{ kind, target string }{{"absolute", ""}, {"relative", "../../../../../../../../../.."}} {
		t.Run(test.kind, func(t *testing.T) {
			r := integration.New(t)
			v := newVictim(t)
			b := integration.NewBundle(t,
				integration.Mount(tmpfsAt("/link/made"), tmpfsAt("/link/there"), bindAt(filepath.Join(v.path, "file"), "/link/newfile")))
			symlink(t, test.target+v.path, b.Rootfs("link"))
			mkdir(t, filepath.Join(v.path, "there"))
			v.before = describeTree(t, v.path)
			seen := r.RunProbe(b)
			for _, name := range []string{"made", "there", "newfile"} {
				if _, there := seen.MountAt(filepath.Join(v.path, name)); !there {
					t.Errorf("%s is not mounted where the link leads inside of the root: %q", name, seen.Mounts)
				}
			}
			v.unchanged()
		})
	}
	// bubblewrap #801: links in the image are ordinary, /var/run is one.
	t.Run("control: a link inside of the root", func(t *testing.T) {
		r := integration.New(t)
		b := integration.NewBundle(t, integration.Mount(tmpfsAt("/var/run/made"), tmpfsAt("/abs/made")))
		mkdir(t, b.Rootfs("var"))
		mkdir(t, b.Rootfs("run"))
		symlink(t, "../run", b.Rootfs("var/run"))
		symlink(t, "/mnt", b.Rootfs("abs"))
		seen := r.RunProbe(b)
		for _, path := range []string{"/run/made", "/mnt/made"} {
			if _, there := seen.MountAt(path); !there {
				t.Errorf("no mount at %s: %q", path, seen.Mounts)
			}
		}
	})
}

// raceOnTargets mounts tmpfs at /vol/dir/BELOW/0 and so on while another container swaps /vol/dir for a link to the victim.
// Many targets are many chances. With renew every round has targets that were never there before.
func raceOnTargets(t *testing.T, below string, renew bool) {
	t.Helper()
	const targets = 12
	r := integration.New(t)
	v := newVictim(t)
	volume := filepath.Join(t.TempDir(), "volume")
	symlink(t, v.path, filepath.Join(mkdir(t, volume), "link"))
	mkdir(t, filepath.Join(volume, "dir"))
	b := integration.NewBundle(t, integration.Mount(bindAt(volume, "/vol")), integration.Args("/bin/cat", "/proc/self/mountinfo"))
	mkdir(t, b.Rootfs("vol"))
	mkdir(t, b.Rootfs(v.path)) // the link's target inside of the root, so that a runtime that follows it there has somewhere to go
	for n := range targets {
		for _, dir := range []string{filepath.Join(volume, "dir"), v.path, b.Rootfs(v.path)} {
			if !renew {
				mkdir(t, filepath.Join(dir, below, fmt.Sprint(n)))
			}
		}
		b.Spec.Mounts = append(b.Spec.Mounts, specs.Mount{})
	}
	v.before = describeTree(t, v.path)
	mounts := b.Spec.Mounts[len(b.Spec.Mounts)-targets:]
	raceRenewed(t, r, b, filepath.Join(volume, "dir"), filepath.Join(volume, "link"), func(round int) {
		for n := range mounts {
			mounts[n] = tmpfsAt(fmt.Sprintf("/vol/dir/%s/%d", below, n))
			if renew {
				mounts[n] = tmpfsAt(fmt.Sprintf("/vol/dir/%s/%d/%d", below, round, n))
			}
		}
		b.Change()
	}, func(res integration.Result) {
		inside := 0
		for line := range strings.Lines(res.Stdout) {
			m := report.ParseMount(line)
			if m.Source == "attack" && (strings.HasPrefix(m.Point, "/vol/") || strings.HasPrefix(m.Point, v.path)) {
				inside++
			}
		}
		if inside != targets {
			t.Errorf("%d tmpfs are inside of the container, want %d: %s", inside, targets, res.Stdout)
		}
	})
	v.unchanged()
	notMountedOn(t, volume)
}

func TestMountTargetSurvivesASwap_CVE_2021_30465(t *testing.T) { raceOnTargets(t, "there", false) }

func TestMissingMountTargetIsNeverMadeOnTheHost_CVE_2024_45310(t *testing.T) {
	raceOnTargets(t, "made/in/the/race", true)
}

// crun's krun handler wrote a file of its own into the root file system, through a link of the image.
func TestRuntimeWritesNothingIntoTheRootfs_CVE_2025_24965(t *testing.T) {
	r := integration.New(t)
	v := newVictim(t)
	b := integration.NewBundle(t, func(s *specs.Spec) {
		s.Annotations = map[string]string{"run.oci.handler": "krun"}
		s.Process.Terminal = false
	})
	for _, name := range []string{".krun_config.json", ".dockerenv", "etc/hostname", "etc/resolv.conf", "etc/mtab", "run"} {
		symlink(t, filepath.Join(v.path, "file"), b.Rootfs(name))
	}
	before := describeTree(t, b.Rootfs())
	if seen := r.RunProbe(b); seen.Pid != 1 {
		t.Errorf("pid %d, want 1", seen.Pid)
	}
	sameTree(t, before, describeTree(t, b.Rootfs()))
	v.unchanged()
}

// youki GHSA-3q8j-pf29-vwv8: the path of readonlyPaths was resolved for the bind and once more for the remount.
func TestReadonlyPathSurvivesASwap_GHSA_3q8j_pf29_vwv8(t *testing.T) {
	r := integration.New(t)
	volume := filepath.Join(t.TempDir(), "volume")
	mkdir(t, filepath.Join(volume, "dir"))
	v := newVictim(t)
	symlink(t, v.path, filepath.Join(volume, "link"))
	b := integration.NewBundle(t, integration.Mount(bindAt(volume, "/vol")), integration.Args("/bin/cat", "/proc/self/mountinfo"), func(s *specs.Spec) {
		s.Linux.ReadonlyPaths = append(s.Linux.ReadonlyPaths, "/vol/dir")
	})
	mkdir(t, b.Rootfs("vol"))
	elsewhere := mkdir(t, b.Rootfs(v.path)) // where the link leads in the container
	if err := os.WriteFile(filepath.Join(elsewhere, "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	race(t, r, b, filepath.Join(volume, "dir"), filepath.Join(volume, "link"), func(res integration.Result) {
		var hit []report.MountLine
		for line := range strings.Lines(res.Stdout) {
			m := report.ParseMount(line)
			if strings.HasPrefix(m.Point, "/vol/") || m.Point == v.path {
				hit = append(hit, m)
			}
		}
		// Whichever of the two the path was at that moment: what was found first is what is read-only, it was not put over
		// something else, and nothing is left half-done.
		if len(hit) != 1 || !slices.Contains(strings.Split(hit[0].Options, ","), "ro") {
			t.Errorf("read-only mounts: %+v, want exactly one, and read-only", hit)
			return
		}
		if onVolume := strings.Contains(hit[0].Root, "/volume/"); onVolume != (hit[0].Point != v.path) {
			t.Errorf("%s is mounted on %s", hit[0].Root, hit[0].Point)
		}
	})
	v.unchanged()
	notMountedOn(t, volume)
}
