//go:build engines

package podman

import (
	"testing"

	"github.com/bxrne/zbox/tests/integration/engines"
)

const (
	serve = "mkdir /tmp/w; echo content >/tmp/w/index.html; exec httpd -f -p 80 -h /tmp/w"

	podYAML = `apiVersion: v1
kind: Pod
metadata:
  name: kube
spec:
  containers:
  - name: server
    image: localhost/img
    command: [/bin/sh, -c, "` + serve + `"]
    ports: [{containerPort: 80, hostPort: 18083}]
    securityContext: {readOnlyRootFilesystem: true, capabilities: {drop: [NET_RAW]}}
    volumeMounts: [{name: scratch, mountPath: /tmp}]
  - name: neighbour
    image: localhost/img
    command: [/bin/sleep, "1000"]
  volumes: [{name: scratch, emptyDir: {}}]
`
)

// answers waits until a web server on the host's loopback gives its content.
func (e *engine) answers(port string) {
	e.t.Helper()
	engines.Eventually(e.t, "the port "+port+" answers", func() bool {
		return engines.Call(e.t, "busybox", "wget", "-q", "-O", "-", "http://127.0.0.1:"+port+"/").Stdout == "content\n"
	})
}

func TestNetworks(t *testing.T) {
	t.Run("root", func(t *testing.T) {
		e := asRoot(t)
		e.run(engines.Case{Args: `--network bridge img ls /sys/class/net`, Stdout: "eth0\nlo"})
		e.networks()
	})
	t.Run("rootless", func(t *testing.T) {
		e := rootless(t)
		e.run(engines.Case{Args: `--network slirp4netns img ls /sys/class/net`, Stdout: "lo\ntap0"})
		e.run(engines.Case{Args: `--network bridge img ls /sys/class/net`, Stdout: "eth0\nlo"})
		e.networks()
	})
}

func (e *engine) networks() {
	e.t.Helper()
	e.run(
		engines.Case{Args: `--network none img ls /sys/class/net`, Stdout: "lo"},
		engines.Case{Args: `--network host img readlink /proc/self/ns/net`, Stdout: ownNetwork(e.t)},
	)
	e.must("run", "-d", "--name", "server", "-p", "127.0.0.1:18080:80", "img", "sh", "-c", serve)
	e.answers("18080")
	e.run(engines.Case{Args: `--network container:server img wget -q -O - http://127.0.0.1/`, Stdout: "content"})
}

func ownNetwork(t *testing.T) string {
	t.Helper()
	return engines.Call(t, "readlink", "-n", "/proc/self/ns/net").Stdout
}

func TestPodSharesItsNamespacesAndServesItsPort(t *testing.T) {
	forEachUser(t, func(e *engine) {
		e.must("pod", "create", "--name", "pod", "-p", "127.0.0.1:18081:80")
		e.must("run", "-d", "--pod", "pod", "--name", "one", "img", "sh", "-c", serve)
		e.must("run", "-d", "--pod", "pod", "--name", "two", "img", "sleep", "1000")
		e.answers("18081")
		for _, namespace := range []string{"net", "ipc", "uts"} {
			one, two := e.must("exec", "one", "readlink", "/proc/self/ns/"+namespace), e.must("exec", "two", "readlink", "/proc/self/ns/"+namespace)
			if one != two {
				e.t.Errorf("the containers are in %s and %s", one, two)
			}
		}
		e.check(
			engines.Case{Args: `pod inspect --format {{.State}} pod`, Stdout: "Running"},
			engines.Case{Args: `pod stop -t 0 pod`, Stdout: e.must("pod", "inspect", "--format", "{{.ID}}", "pod")},
			engines.Case{Args: `pod inspect --format {{.State}} pod`, Stdout: "Exited"},
		)
		e.must("pod", "start", "pod")
		e.answers("18081")
	})
}

func TestPlayKube(t *testing.T) {
	forEachUser(t, func(e *engine) {
		play := []string{"play", "kube"}
		if e.user != nil { // podman 4.3 does not find the networks that it makes, when rootless and in a mount namespace
			play = append(play, "--network", "slirp4netns")
		}
		e.must(append(play, engines.Dir+"/tmp/pod.yaml")...)
		e.answers("18083")
		e.check(
			engines.Case{Args: `exec kube-server /bin/touch /x`, Code: 1, Stderr: "Read-only file system"},
			engines.Case{Args: `inspect --format '{{.State.Status}} {{.OCIRuntime}}' kube-neighbour`, Stdout: "running " + engines.Name()},
		)
		e.must("play", "kube", "--down", engines.Dir+"/tmp/pod.yaml")
	})
}
