package spec

import "testing"

func TestTmp(t *testing.T) {
	for _, in := range []string{"{\n  \"process\": {\"cwd\": }}", "", " \n", "{", `{"process":{"cwd":"/","user":{"uid":4294967296}}}`,
		`{"mounts":[{},{"options":["a",5]}]}`, `{"mounts":[{},{"options":{}}]}`, `{}x`, "{\"a\":\"\x01\"}", `[]`, `{"hostname":tru}`, `{"a" 1}`, `{"process":{"args":["a" "b"]}}`, `{"process":{"args":["a",]}}`,
	    `{"process":{"terminal":1.5, "user":{"uid":-1,"gid":1e9}}}`} {
		_, err := Parse("config.json", []byte(in))
		t.Log(err)
		if e, ok := err.(*SyntaxError); ok { t.Log("\n"+e.Spot) }
	}
}
