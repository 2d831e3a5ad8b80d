package integration

import "testing"

func paused(t *testing.T, r *Runtime) *Container {
	c := running(t, r)
	r.Must("pause", c.ID)
	return c
}

func TestPauseAndResume(t *testing.T) {
	r := New(t)
	c := paused(t, r)
	if s := c.State(); s.Status != "paused" {
		t.Errorf("status %s, want paused", s.Status)
	}
	if res := c.Exec(c.ID, "/bin/true"); res.Code != 255 {
		t.Errorf("exec in a paused container: exit %d, want 255", res.Code)
	}
	r.Must("resume", c.ID)
	if s := c.State(); s.Status != "running" {
		t.Errorf("status %s, want running", s.Status)
	}
	c.Exec(c.ID, "/bin/true")
}
