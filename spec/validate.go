package spec

import (
	"fmt"
	"path"
	"reflect"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Validate checks everything of a configuration that needs no look at the machine: what the OCI specification requires, and what no
// Linux can do. The error is about the first mistake and names its field and the reason, as
// `process.cwd: "tmp" is not an absolute path`. Unknown capabilities are no mistake; the specification wants a warning for them.
func Validate(s *specs.Spec) error {
	if err := validateVersion(s.Version); err != nil {
		return err
	}
	if s.Process == nil {
		return fmt.Errorf("process: missing")
	}
	if s.Root == nil || s.Root.Path == "" {
		return fmt.Errorf("root.path: missing")
	}
	// The plan hands strings to C, where a zero byte would cut them off silently.
	if err := refuseZeroBytes(s); err != nil {
		return err
	}
	if err := ValidateProcess("process.", s.Process); err != nil {
		return err
	}
	if err := validateHooks(s.Hooks); err != nil {
		return err
	}
	if err := validateNamespaces(s); err != nil {
		return err
	}
	if err := validateMounts(s); err != nil {
		return err
	}
	return validateLinux(s.Linux)
}

// validateVersion accepts 1.0.0-rc and everything after it before 2.0.0: config.md, "Specification version", promises that a
// configuration of one major version works with every later minor one. A newer minor version is accepted as unknown fields are.
func validateVersion(version string) error {
	if version == "" {
		return fmt.Errorf("ociVersion: missing")
	}
	core, pre, ok := splitVersion(version)
	if !ok {
		return fmt.Errorf("ociVersion: %s is not a version by SemVer 2.0.0", quoted(version))
	}
	early := core == "1.0.0" && pre != "" && pre < "rc"
	if !strings.HasPrefix(core, "1.") || early {
		return fmt.Errorf("ociVersion: %s is not supported, only 1.0.0-rc to 1.x", quoted(version))
	}
	return nil
}

// splitVersion takes MAJOR.MINOR.PATCH[-PRE][+BUILD] of SemVer v2.0.0 apart. It is no regular expression because every start of zbox
// would pay for compiling that.
func splitVersion(version string) (core, pre string, ok bool) {
	rest, build, hasBuild := strings.Cut(version, "+")
	core, pre, hasPre := strings.Cut(rest, "-")
	numbers := strings.Split(core, ".")
	if len(numbers) != 3 || hasPre && !identifiers(pre, true) || hasBuild && !identifiers(build, false) {
		return "", "", false
	}
	for _, n := range numbers {
		if !identifiers(n, true) || strings.Trim(n, "0123456789") != "" {
			return "", "", false
		}
	}
	return core, pre, true
}

// identifiers checks a list of letters, digits and hyphens with dots between them. With strict, those of digits alone have no zero in
// front.
func identifiers(list string, strict bool) bool {
	for _, id := range strings.Split(list, ".") {
		if id == "" || strings.IndexFunc(id, func(r rune) bool { return !isIdentifier(r) }) >= 0 {
			return false
		}
		if strict && len(id) > 1 && id[0] == '0' && strings.Trim(id, "0123456789") == "" {
			return false
		}
	}
	return true
}

func isIdentifier(r rune) bool {
	return r == '-' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
}

// refuseZeroBytes reports the first string with a zero byte in what is handed to the kernel.
func refuseZeroBytes(s *specs.Spec) error {
	for _, part := range []struct {
		field string
		value any
	}{
		{"process", s.Process},
		{"root", s.Root},
		{"hostname", s.Hostname},
		{"domainname", s.Domainname},
		{"mounts", s.Mounts},
		{"hooks", s.Hooks},
		{"linux", s.Linux},
	} {
		if where := zeroByte(reflect.ValueOf(part.value)); where != "" {
			return fmt.Errorf("%s%s holds a zero byte", part.field, where)
		}
	}
	return nil
}

// zeroByte returns the path below v of the first string with a zero byte, ending in ":" and "" for none.
func zeroByte(v reflect.Value) string {
	switch v.Kind() {
	case reflect.String:
		if strings.IndexByte(v.String(), 0) >= 0 {
			return fmt.Sprintf(": %s", quoted(v.String()))
		}
	case reflect.Pointer:
		if !v.IsNil() {
			return zeroByte(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if where := zeroByte(v.Field(i)); where != "" {
				name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
				return "." + name + where
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			if where := zeroByte(v.Index(i)); where != "" {
				return fmt.Sprintf("[%d]%s", i, where)
			}
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			if where := zeroByte(key); where != "" {
				return where
			}
			if where := zeroByte(v.MapIndex(key)); where != "" {
				return fmt.Sprintf("[%s]%s", quoted(key.String()), where)
			}
		}
	default: // numbers and booleans
	}
	return ""
}

// validateHooks is config.md, "POSIX-platform Hooks".
func validateHooks(h *specs.Hooks) error {
	if h == nil {
		return nil
	}
	for _, kind := range []struct {
		name  string
		hooks []specs.Hook
	}{
		{"prestart", h.Prestart}, //nolint:staticcheck // deprecated, but configurations still have it
		{"createRuntime", h.CreateRuntime},
		{"createContainer", h.CreateContainer},
		{"startContainer", h.StartContainer},
		{"poststart", h.Poststart},
		{"poststop", h.Poststop},
	} {
		for i, hook := range kind.hooks {
			field := fmt.Sprintf("hooks.%s[%d]", kind.name, i)
			if err := requireAbsolute(field+".path", hook.Path); err != nil {
				return err
			}
			if hook.Timeout != nil && *hook.Timeout <= 0 {
				return fmt.Errorf("%s.timeout: %d is not greater than zero", field, *hook.Timeout)
			}
			if err := validateEnv(field+".env", hook.Env); err != nil {
				return err
			}
		}
	}
	return nil
}

func requireAbsolute(field, value string) error {
	switch {
	case value == "":
		return fmt.Errorf("%s: missing", field)
	case !path.IsAbs(value):
		return fmt.Errorf("%s: %s is not an absolute path", field, quoted(value))
	}
	return nil
}

// requireOneOf checks a value of an enumeration.
func requireOneOf[T ~string](field string, value T, known []T) error {
	if slices.Contains(known, value) {
		return nil
	}
	names := make([]string, len(known))
	for i, k := range known {
		names[i] = string(k)
	}
	switch near := Nearest(string(value), names); {
	case value == "":
		return fmt.Errorf("%s: missing; it is one of %s", field, strings.Join(names, ", "))
	case near != "":
		return fmt.Errorf("%s: unknown value %s, did you mean %q?", field, quoted(value), near)
	default:
		return fmt.Errorf("%s: unknown value %s; it is one of %s", field, quoted(value), strings.Join(names, ", "))
	}
}

// sortedKeys makes errors about maps the same in every run.
func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
