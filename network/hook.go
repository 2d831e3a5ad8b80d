package network

import "fmt"

// Up connects the sandbox. After an error nothing of it is left. The Witness makes Down faster, in the same process; it is to be closed.
func Up(c Config) (*Witness, error) {
	if c.Pid <= 0 {
		return nil, fmt.Errorf("the container's state has no process: pid is %d", c.Pid)
	}
	routed, err := ownsNetwork()
	if err != nil {
		return nil, err
	}
	if !routed {
		return nil, carriedUp(c)
	}
	w, err := newWitness(c.Pid)
	if err != nil {
		return nil, err
	}
	if err := routedUp(c); err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

// Down undoes Up, whatever became of it. A sandbox that was never connected is no error. The witness may be nil.
func Down(stateDir, id string, w *Witness) error {
	defer w.Close()
	r, err := readRecord(stateDir, id)
	if err != nil {
		return err
	}
	routed, err := ownsNetwork()
	if err != nil {
		return err
	}
	if routed {
		return routedDown(stateDir, id, r, w)
	}
	return carriedDown(stateDir, id)
}
