package plan

import (
	"encoding/binary"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

// decoder reads the wire format back, written from the description at the top of encode.go and independent of the encoder.
type decoder struct {
	t    *testing.T
	data []byte
}

type decodedStep struct {
	number int
	step   StageStep
}

func (d *decoder) u32(at int) uint32 { return binary.LittleEndian.Uint32(d.data[at:]) }

// steps decodes a whole plan, and checks its header.
func (d *decoder) steps(wantTotal, wantPreserve int) []decodedStep {
	d.t.Helper()
	header := []uint32{Magic, Version, uint32(len(d.data)), uint32(wantTotal)}
	for i, want := range header {
		if got := d.u32(4 * i); got != want {
			d.t.Errorf("header word %d is %#x, want %#x", i, got, want)
		}
	}
	if got := d.u32(20); got != uint32(wantPreserve) {
		d.t.Errorf("preserve is %d, want %d", got, wantPreserve)
	}
	var out []decodedStep
	at := 24
	for range d.u32(16) {
		op, number, size := d.u32(at), d.u32(at+4), int(d.u32(at+8))
		if d.u32(at+12) != 0 || size%8 != 0 {
			d.t.Errorf("step %d: the record is not well-formed", number)
		}
		s, _ := reflect.New(reflect.TypeOf(stageSteps[op-1]).Elem()).Interface().(StageStep)
		if end := d.fields(s, at+16); (end+7)/8*8 != at+size {
			d.t.Errorf("step %d (%s): fields end at %d of a record that ends at %d", number, s.Name(), end, at+size)
		}
		out = append(out, decodedStep{int(number), s})
		at += size
	}
	return out
}

func (d *decoder) fields(s StageStep, at int) int {
	v := reflect.ValueOf(s).Elem()
	for i := range v.NumField() {
		f := v.Field(i)
		switch f.Kind() {
		case reflect.Uint32:
			f.SetUint(uint64(d.u32(at)))
			at += 4
		case reflect.Int32:
			f.SetInt(int64(int32(d.u32(at))))
			at += 4
		case reflect.Uint64:
			at = (at + 7) / 8 * 8
			f.SetUint(binary.LittleEndian.Uint64(d.data[at:]))
			at += 8
		default:
			d.reference(f, int(d.u32(at)), int(d.u32(at+4)))
			at += 8
		}
	}
	return at
}

func (d *decoder) reference(f reflect.Value, offset, length int) {
	if offset == 0 && length == 0 {
		return
	}
	switch f.Interface().(type) {
	case string:
		f.SetString(string(d.bytes(offset, length)))
	case []byte:
		f.SetBytes(d.bytes(offset, length))
	case []uint32:
		for i := range length {
			f.Set(reflect.Append(f, reflect.ValueOf(d.u32(offset+4*i))))
		}
	case []string:
		for i := range length {
			at := offset + 8*i
			text := ""
			if n := int(d.u32(at + 4)); n > 0 {
				text = string(d.bytes(int(d.u32(at)), n))
			}
			f.Set(reflect.Append(f, reflect.ValueOf(text)))
		}
	}
}

// bytes are followed by a NUL, which C relies on.
func (d *decoder) bytes(offset, length int) []byte {
	if d.data[offset+length] != 0 {
		d.t.Errorf("the %d bytes at %d are not followed by a NUL", length, offset)
	}
	return d.data[offset : offset+length]
}

// fill gives every field of a step a random value.
func fill(r *rand.Rand, s StageStep) {
	v := reflect.ValueOf(s).Elem()
	for i := range v.NumField() {
		f := v.Field(i)
		n := r.IntN(5)
		switch f.Interface().(type) {
		case string:
			f.SetString(randomText(r))
		case []byte:
			f.SetBytes([]byte("a\x00b" + randomText(r)))
		case []uint32:
			for range n {
				f.Set(reflect.Append(f, reflect.ValueOf(r.Uint32())))
			}
		case []string:
			for range n {
				f.Set(reflect.Append(f, reflect.ValueOf(randomText(r))))
			}
		default:
			if f.CanInt() {
				f.SetInt(int64(int32(r.Uint32())))
			} else {
				f.SetUint(r.Uint64() & (1<<f.Type().Bits() - 1))
			}
		}
	}
}

func randomText(r *rand.Rand) string { return strings.Repeat("ä-", r.IntN(10)) }

func newStep(s StageStep) StageStep {
	out, _ := reflect.New(reflect.TypeOf(s).Elem()).Interface().(StageStep)
	return out
}

func TestEveryStageStepSurvivesTheWireFormat(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 7))
		p := &Plan{Preserve: int(seed)}
		for _, kind := range stageSteps {
			s := newStep(kind)
			fill(r, s)
			p.append("", s)
			if r.IntN(3) == 0 {
				p.append("", &Journal{}) // host steps are numbered, but not encoded
			}
		}
		data, err := p.Encode()
		if err != nil {
			t.Fatal(err)
		}
		d := decoder{t, data}
		decoded := d.steps(len(p.Steps), p.Preserve)
		if len(decoded) != len(stageSteps) {
			t.Fatalf("%d steps, want %d", len(decoded), len(stageSteps))
		}
		for _, got := range decoded {
			if want := p.Steps[got.number-1]; !equal(got.step, want) {
				t.Fatalf("step %d:\n got %#v\nwant %#v", got.number, got.step, want)
			}
		}
	}
}

// equal ignores the difference between an empty list and none, which the wire format does not have.
func equal(a, b any) bool {
	x, y := reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem()
	if x.Type() != y.Type() {
		return false
	}
	for i := range x.NumField() {
		f, g := x.Field(i), y.Field(i)
		if f.Kind() == reflect.Slice && f.Len() == 0 && g.Len() == 0 {
			continue
		}
		if !reflect.DeepEqual(f.Interface(), g.Interface()) {
			return false
		}
	}
	return true
}

func TestOpCodesAreThePlacesInTheList(t *testing.T) {
	names := map[string]bool{}
	for i, s := range stageSteps {
		if s.stage() != uint32(i+1) {
			t.Errorf("%s has op code %d and place %d", s.Name(), s.stage(), i+1)
		}
		if names[s.Name()] {
			t.Errorf("%s is there twice", s.Name())
		}
		names[s.Name()] = true
	}
}

func TestEncodeRefuses(t *testing.T) {
	large := make([]string, 300)
	for i := range large {
		large[i] = strings.Repeat("x", 64<<10)
	}
	for _, tc := range []struct {
		name string
		step StageStep
		want string
	}{
		{"NUL in a string", &Hostname{Value: "a\x00b"}, "encoding step 2 (hostname): Value: string holds a NUL byte"},
		{"NUL in a list of strings", &Exec{Args: []string{"ok"}, Env: []string{"ok", "A=\x00"}}, "encoding step 2 (exec): Env: string holds a NUL byte"},
		{"a string that is too large", &Hostname{Value: strings.Repeat("x", MaxSize)}, "encoding step 2 (hostname): Value: plan larger than 16 MiB"},
		{"a list that is too large (CVE-2021-43784)", &Exec{Args: large}, "encoding step 2 (exec): Args: plan larger than 16 MiB"},
		{"bytes that are too large", &Seccomp{Filter: make([]byte, MaxSize)}, "encoding step 2 (seccomp): Filter: plan larger than 16 MiB"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := &Plan{}
			p.Add("", &OpenProc{})
			p.Add("", tc.step)
			data, err := p.Encode()
			if err == nil || err.Error() != tc.want || data != nil {
				t.Errorf("got  %d bytes, %v\nwant %s", len(data), err, tc.want)
			}
		})
	}
}

// The limit is on the whole plan: steps that each fit may be too many together.
func TestEncodeRefusesManySteps(t *testing.T) {
	p := &Plan{}
	for range 20 {
		p.Add("", &Hostname{Value: strings.Repeat("x", 1<<20)})
	}
	_, err := p.Encode()
	if want := "encoding step 16 (hostname): Value: plan larger than 16 MiB"; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// What is written behind the last field counts, too.
func TestPaddingCounts(t *testing.T) {
	p := &Plan{}
	p.Add("", &Root{Path: strings.Repeat("x", MaxSize-headerSize-stepSize-12-1)})
	data, err := p.Encode()
	if err == nil || err.Error() != "plan larger than 16 MiB" || data != nil {
		t.Errorf("got %d bytes, %v", len(data), err)
	}
}

func TestLargestPlan(t *testing.T) {
	// header, one record with one reference, then the string and its NUL
	fits := MaxSize - headerSize - stepSize - 8 - 1
	for _, tc := range []struct {
		size int
		ok   bool
	}{{fits, true}, {fits + 1, false}} {
		p := &Plan{}
		p.Add("", &Hostname{Value: strings.Repeat("x", tc.size)})
		data, err := p.Encode()
		if (err == nil) != tc.ok || (tc.ok && len(data) != MaxSize) {
			t.Errorf("a string of %d bytes: %d bytes, %v", tc.size, len(data), err)
		}
	}
}
