package criu

import (
	"encoding/binary"
	"errors"
)

// The messages of CRIU's RPC are protocol buffers (images/rpc.proto of its sources). They are few and flat, and are written and read here: the
// generated code would link the protobuf runtime into zbox, whose package init hashes the binary at every command.

// The wire types of protocol buffers.
const (
	varint = 0
	length = 2
)

var errDamaged = errors.New("damaged message from criu")

// message is an encoded message.
type message []byte

func (m *message) number(field int, v uint64) {
	*m = binary.AppendUvarint(*m, uint64(field)<<3|varint)
	*m = binary.AppendUvarint(*m, v)
}

// integer is an int32 or an enum: negative ones are sign-extended to 64 bits.
func (m *message) integer(field int, v int) { m.number(field, uint64(int64(v))) }

// flag writes a true one; false is what an absent one means.
func (m *message) flag(field int, v bool) {
	if v {
		m.number(field, 1)
	}
}

func (m *message) bytes(field int, v []byte) {
	*m = binary.AppendUvarint(*m, uint64(field)<<3|length)
	*m = binary.AppendUvarint(*m, uint64(len(v)))
	*m = append(*m, v...)
}

// text writes a string that is not empty.
func (m *message) text(field int, v string) {
	if v != "" {
		m.bytes(field, []byte(v))
	}
}

// fields calls do with each field of a message: its number, and its value in n or, where it has a length, in data.
func (m message) fields(do func(field int, n uint64, data []byte) error) error {
	for len(m) > 0 {
		key, size := binary.Uvarint(m)
		if size <= 0 {
			return errDamaged
		}
		m = m[size:]
		var n uint64
		var data []byte
		switch key & 7 {
		case varint:
			if n, size = binary.Uvarint(m); size <= 0 {
				return errDamaged
			}
			m = m[size:]
		case length:
			n, size = binary.Uvarint(m)
			if size <= 0 || n > uint64(len(m)-size) {
				return errDamaged
			}
			data, m = m[size:size+int(n)], m[size+int(n):]
		default: // the messages that criu sends have no others
			return errDamaged
		}
		if err := do(int(key>>3), n, data); err != nil {
			return err
		}
	}
	return nil
}
