//go:build engines

package cri

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/bxrne/zbox/tests/integration/engines"
)

// stream speaks with the server that the CRI names, as kubectl does through the kubelet.
func stream(t *testing.T, address string, o remotecommand.StreamOptions) error {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	executor, err := remotecommand.NewSPDYExecutor(&rest.Config{}, http.MethodPost, u)
	if err != nil {
		t.Fatal(err)
	}
	return executor.StreamWithContext(t.Context(), o)
}

func TestExecStreams(t *testing.T) {
	forEachHandler(t, ofTheHost, func(t *testing.T, p *pod) {
		id := p.start("life", &cri.ContainerConfig{Command: []string{"sleep", "1000"}})
		for _, test := range []struct {
			tty                   bool
			script, in, out, errs string
			code                  string
		}{
			{false, "cat; echo e >&2; exit 3", "words", "words", "e\n", "exit code 3"},
			{true, "tty; exit 4", "", "/dev/pts/0\r\n", "", "exit code 4"},
		} {
			res, err := service.Exec(t.Context(), &cri.ExecRequest{
				ContainerId: id, Cmd: []string{"sh", "-c", test.script}, Tty: test.tty, Stdin: true, Stdout: true, Stderr: !test.tty,
			})
			if err != nil {
				t.Fatal(err)
			}
			var out, errs bytes.Buffer
			o := remotecommand.StreamOptions{Stdin: strings.NewReader(test.in), Stdout: &out, Stderr: &errs}
			if test.tty {
				open, end := io.Pipe() // a terminal's input does not end by itself
				defer end.Close()
				o = remotecommand.StreamOptions{Stdin: open, Stdout: &out, Tty: true}
			}
			err = stream(t, res.Url, o)
			if err == nil || !strings.Contains(err.Error(), test.code) || out.String() != test.out || errs.String() != test.errs {
				t.Errorf("%s: %v, stdout %q, stderr %q; want %s, %q, %q", test.script, err, &out, &errs, test.code, test.out, test.errs)
			}
		}
	})
}

// The words go in when the first output has come out: containerd begins to copy the input before it adds the client to those that get the
// output, and an answer that comes in between is in the log only.
func TestAttach(t *testing.T) {
	forEachHandler(t, ofTheHost, func(t *testing.T, p *pod) {
		id := p.start("reader", &cri.ContainerConfig{
			Command: []string{"sh", "-c", "until read -t 1 line; do echo waiting; done; echo got $line"}, Stdin: true, StdinOnce: true,
		})
		res, err := service.Attach(t.Context(), &cri.AttachRequest{ContainerId: id, Stdin: true, Stdout: true, Stderr: true})
		if err != nil {
			t.Fatal(err)
		}
		in, words := io.Pipe()
		out := &told{first: func() {
			_, _ = words.Write([]byte("words\n"))
			words.Close()
		}}
		var errs bytes.Buffer
		err = stream(t, res.Url, remotecommand.StreamOptions{Stdin: in, Stdout: out, Stderr: &errs})
		if err != nil || !strings.HasSuffix(out.text.String(), "waiting\ngot words\n") {
			t.Errorf("attached: %v, stdout %q, stderr %q", err, &out.text, &errs)
		}
	})
}

// told is a buffer that calls first beside the first output.
type told struct {
	text  bytes.Buffer
	first func()
	once  sync.Once
}

func (b *told) Write(p []byte) (int, error) {
	b.once.Do(func() { go b.first() })
	return b.text.Write(p)
}

func TestPortForward(t *testing.T) {
	forEachHandler(t, ofItsOwn, func(t *testing.T, p *pod) {
		id := p.start("server", &cri.ContainerConfig{Command: []string{"sh", "-c", "mkdir /w; echo content >/w/index.html; exec httpd -f -p 80 -h /w"}})
		// A forwarded connection that is refused ends the forwarding.
		engines.Eventually(t, "the server answers", func() bool { return p.exec(id, "wget", "-q", "-O", "-", "http://127.0.0.1/").ExitCode == 0 })
		res, err := service.PortForward(t.Context(), &cri.PortForwardRequest{PodSandboxId: p.id, Port: []int32{80}})
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(res.Url)
		if err != nil {
			t.Fatal(err)
		}
		transport, upgrader, err := spdy.RoundTripperFor(&rest.Config{})
		if err != nil {
			t.Fatal(err)
		}
		stop, ready := make(chan struct{}), make(chan struct{})
		dialer := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, u)
		forwarder, err := portforward.New(dialer, []string{"18082:80"}, stop, ready, io.Discard, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- forwarder.ForwardPorts() }()
		engines.Eventually(t, "the forwarded port answers", func() bool {
			return engines.Call(t, "busybox", "wget", "-q", "-O", "-", "http://127.0.0.1:18082/").Stdout == "content\n"
		})
		close(stop)
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
