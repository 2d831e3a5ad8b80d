package translate

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
)

// maxCache bounds what is read of an ld.so.cache; usual ones have some 20 KiB, the largest a few MiB.
const maxCache = 1 << 24

// The parts of an ld.so.cache (glibc, sysdeps/generic/dl-cache.h). An old part may come first: a header with a count, and 12 bytes for each
// entry.
const (
	oldCacheMagic  = "ld.so-1.7.0\x00"
	oldCacheHeader = 16
	oldCacheEntry  = 12
	newCacheMagic  = "glibc-ld.so.cache1.1"
	newCacheHeader = 48
	newCacheEntry  = 24
)

// loaderCache is the list of libraries that ldconfig(8) made.
type loaderCache struct {
	order   binary.ByteOrder
	data    []byte // from the new header on; the offsets of the names count from there
	entries []byte
}

func readCache(f *os.File, order binary.ByteOrder) loaderCache {
	data, err := io.ReadAll(io.LimitReader(f, maxCache))
	if err != nil {
		return loaderCache{}
	}
	return parseCache(data, order)
}

// parseCache is an empty cache for one that is broken or of another format.
func parseCache(data []byte, order binary.ByteOrder) loaderCache {
	if bytes.HasPrefix(data, []byte(oldCacheMagic)) && len(data) >= oldCacheHeader {
		skip := oldCacheHeader + oldCacheEntry*int64(order.Uint32(data[12:]))
		skip = (skip + 7) &^ 7
		if skip > int64(len(data)) {
			return loaderCache{}
		}
		data = data[skip:]
	}
	if !bytes.HasPrefix(data, []byte(newCacheMagic)) || len(data) < newCacheHeader {
		return loaderCache{}
	}
	size := newCacheEntry * int64(order.Uint32(data[20:]))
	if size > int64(len(data)-newCacheHeader) {
		return loaderCache{}
	}
	return loaderCache{order: order, data: data, entries: data[newCacheHeader : newCacheHeader+size]}
}

// find lists the files for a name, those for every processor first: any machine that the bundle goes to can run them.
func (c loaderCache) find(name string) []string {
	var plain, special []string
	for e := c.entries; len(e) >= newCacheEntry; e = e[newCacheEntry:] {
		if textAt(c.data, uint64(c.order.Uint32(e[4:]))) != name {
			continue
		}
		file := textAt(c.data, uint64(c.order.Uint32(e[8:])))
		if c.order.Uint64(e[16:]) == 0 {
			plain = append(plain, file)
		} else {
			special = append(special, file)
		}
	}
	return append(plain, special...)
}
