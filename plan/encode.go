package plan

import (
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
)

// The wire format, little endian (every supported architecture is): a header, the stage's steps one behind the other, then
// a pool of strings and lists. References into the pool are offsets from the start of the plan.
//
//	header   magic u32, version u32, total size u32, number of steps in the whole plan u32, stage steps u32, preserve u32
//	step     op u32, number u32 (in the whole plan, from 1), size u32 (of this record), 0 u32, fields
//	fields   in the order of the Go struct, aligned to their size:
//	         uint32, int32, FD: 4 bytes; uint64: 8 bytes
//	         string, []byte: ref {offset u32, length u32}; the bytes are followed by a NUL
//	         []string: ref {offset u32, count u32} to an array of refs; []uint32: the same to an array of u32
//
// An empty string, slice or list is the ref {0, 0}.
const (
	Magic      = 0x78627a70 // "pzbx"
	Version    = 1
	headerSize = 24
	stepSize   = 16
	// MaxSize is the largest plan that either side accepts, in bytes. Nothing is ever truncated to fit (CVE-2021-43784).
	MaxSize = 16 << 20
)

var errTooLarge = errors.New("plan larger than 16 MiB")

// stageSteps lists every stage step in the order of the op codes.
var stageSteps = []StageStep{
	&OpenProc{}, &ProcWrite{}, &Setns{}, &Unshare{}, &Clone{}, &Sync{}, &Become{}, &Setsid{}, &ParentDeath{},
	&Propagation{}, &Root{}, &Mount{}, &Bind{}, &Remount{}, &Device{}, &Symlink{}, &Console{}, &Mask{}, &ReadOnly{},
	&PivotRoot{}, &MoveRoot{}, &Chroot{}, &RootAttr{}, &Hostname{}, &Domainname{}, &Loopback{}, &Keyring{}, &Rlimit{},
	&Chdir{}, &Umask{}, &Scheduler{}, &IOPriority{}, &MemoryPolicy{}, &Affinity{}, &Personality{}, &NoNewPrivs{},
	&Bounding{}, &User{}, &Capset{}, &Ambient{}, &Seccomp{}, &Hook{}, &OwnStdio{}, &Find{}, &WaitStart{}, &CloseFDs{}, &Exec{},
	&Mkdir{}, &Home{},
}

// Encode returns the plan's stage steps in the wire format.
func (p *Plan) Encode() ([]byte, error) {
	e := &encoder{buf: make([]byte, headerSize, 4096), pool: make([]byte, 0, 4096)}
	count := uint32(0)
	for i, s := range p.Steps {
		st, ok := s.(StageStep)
		if !ok {
			continue
		}
		if err := e.step(st, uint32(i+1)); err != nil {
			return nil, fmt.Errorf("encoding step %d (%s): %w", i+1, s.Name(), err)
		}
		count++
	}
	return e.finish(uint32(len(p.Steps)), count, uint32(p.Preserve))
}

// encoder lays the steps out first and collects pool entries with the places that refer to them.
type encoder struct {
	buf    []byte
	pool   []byte
	fixups []int // places in buf that hold offsets relative to the pool
	inPool []int // the same, in pool
}

func (e *encoder) step(s StageStep, number uint32) error {
	start := len(e.buf)
	e.u32(s.stage())
	e.u32(number)
	e.u32(0)
	e.u32(0)
	v := reflect.ValueOf(s).Elem()
	for i := range v.NumField() {
		if err := e.field(v.Field(i)); err != nil {
			return fmt.Errorf("%s: %w", v.Type().Field(i).Name, err)
		}
	}
	for len(e.buf)%8 != 0 {
		e.buf = append(e.buf, 0)
	}
	binary.LittleEndian.PutUint32(e.buf[start+8:], uint32(len(e.buf)-start))
	return nil
}

func (e *encoder) u32(v uint32) { e.buf = binary.LittleEndian.AppendUint32(e.buf, v) }

func (e *encoder) field(v reflect.Value) error {
	switch k := kindOf(v.Type()); k {
	case kindU32:
		e.u32(uint32(v.Uint()))
	case kindI32:
		e.u32(uint32(int32(v.Int())))
	case kindU64:
		for len(e.buf)%8 != 0 {
			e.buf = append(e.buf, 0)
		}
		e.buf = binary.LittleEndian.AppendUint64(e.buf, v.Uint())
	case kindString:
		return e.text(v.String())
	case kindBytes:
		e.bytes(v.Bytes())
	case kindU32List:
		list, _ := v.Interface().([]uint32)
		e.ref(len(list), e.poolU32s(list))
	case kindStringList:
		list, _ := v.Interface().([]string)
		return e.stringList(list)
	}
	return e.tooLarge()
}

func (e *encoder) text(s string) error {
	for i := range len(s) {
		if s[i] == 0 {
			return errors.New("string holds a NUL byte")
		}
	}
	e.bytes([]byte(s))
	return e.tooLarge()
}

func (e *encoder) tooLarge() error {
	if len(e.buf)+len(e.pool) > MaxSize {
		return errTooLarge
	}
	return nil
}

// ref writes a reference to a pool offset, to be moved once the pool's place is known.
func (e *encoder) ref(length, offset int) {
	if length == 0 {
		e.u32(0)
		e.u32(0)
		return
	}
	e.fixups = append(e.fixups, len(e.buf))
	e.u32(uint32(offset))
	e.u32(uint32(length))
}

func (e *encoder) bytes(b []byte) { e.ref(len(b), e.poolBytes(b)) }

func (e *encoder) poolBytes(b []byte) int {
	if len(b) == 0 {
		return 0
	}
	at := e.poolAlign()
	e.pool = append(append(e.pool, b...), 0)
	return at
}

func (e *encoder) poolAlign() int {
	for len(e.pool)%8 != 0 {
		e.pool = append(e.pool, 0)
	}
	return len(e.pool)
}

func (e *encoder) poolU32s(list []uint32) int {
	at := e.poolAlign()
	for _, v := range list {
		e.pool = binary.LittleEndian.AppendUint32(e.pool, v)
	}
	return at
}

func (e *encoder) stringList(list []string) error {
	at := e.poolAlign()
	e.pool = append(e.pool, make([]byte, 8*len(list))...)
	for i, s := range list {
		for j := range len(s) {
			if s[j] == 0 {
				return errors.New("string holds a NUL byte")
			}
		}
		if s == "" { // still a reference: an empty argument is not an absent one
			continue
		}
		off := e.poolBytes([]byte(s))
		place := at + 8*i
		binary.LittleEndian.PutUint32(e.pool[place:], uint32(off))
		binary.LittleEndian.PutUint32(e.pool[place+4:], uint32(len(s)))
		e.inPool = append(e.inPool, place)
	}
	e.ref(len(list), at)
	return e.tooLarge()
}

func (e *encoder) finish(total, count, preserve uint32) ([]byte, error) {
	base := len(e.buf)
	if base+len(e.pool) > MaxSize {
		return nil, errTooLarge
	}
	le := binary.LittleEndian
	for _, at := range e.fixups {
		le.PutUint32(e.buf[at:], le.Uint32(e.buf[at:])+uint32(base))
	}
	for _, at := range e.inPool {
		le.PutUint32(e.pool[at:], le.Uint32(e.pool[at:])+uint32(base))
	}
	out := append(e.buf, e.pool...)
	for i, v := range []uint32{Magic, Version, uint32(len(out)), total, count, preserve} {
		le.PutUint32(out[4*i:], v)
	}
	return out, nil
}

// The kinds of field that a stage step may have.
type fieldKind int

const (
	kindU32 fieldKind = iota
	kindI32
	kindU64
	kindString
	kindBytes
	kindU32List
	kindStringList
)

func kindOf(t reflect.Type) fieldKind {
	switch {
	case t.Kind() == reflect.Uint32:
		return kindU32
	case t.Kind() == reflect.Int32:
		return kindI32
	case t.Kind() == reflect.Uint64:
		return kindU64
	case t.Kind() == reflect.String:
		return kindString
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8:
		return kindBytes
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint32:
		return kindU32List
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.String:
		return kindStringList
	}
	panic("plan: field type " + t.String() + " has no wire format")
}
