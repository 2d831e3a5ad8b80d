package network

import "fmt"

// Up connects the sandbox. After an error nothing of it is left.
func Up(c Config) error {
	if c.Pid <= 0 {
		return fmt.Errorf("the container's state has no process: pid is %d", c.Pid)
	}
	routed, err := ownsNetwork()
	if err != nil {
		return err
	}
	if routed {
		return routedUp(c)
	}
	return carriedUp(c)
}

// Down undoes Up, whatever became of it. A sandbox that was never connected is no error.
func Down(stateDir, id string) error {
	r, err := readRecord(stateDir, id)
	if err != nil {
		return err
	}
	routed, err := ownsNetwork()
	if err != nil {
		return err
	}
	if routed {
		return routedDown(stateDir, id, r)
	}
	return carriedDown(stateDir, id)
}
