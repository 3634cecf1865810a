package sdk

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// Size is a number of bytes; in the configuration "64KiB", "10MB" or a number.
type Size int64

// configField is one tagged field of a plugin's Config.
type configField struct {
	index []int
	key   string
	kind  pb.ConfigField_Type
	value string // the default
	tag   reflect.StructTag
}

var configKinds = map[reflect.Type]pb.ConfigField_Type{
	reflect.TypeFor[string]():            pb.ConfigField_TYPE_STRING,
	reflect.TypeFor[bool]():              pb.ConfigField_TYPE_BOOL,
	reflect.TypeFor[int]():               pb.ConfigField_TYPE_INT,
	reflect.TypeFor[int64]():             pb.ConfigField_TYPE_INT,
	reflect.TypeFor[uint32]():            pb.ConfigField_TYPE_INT,
	reflect.TypeFor[float64]():           pb.ConfigField_TYPE_FLOAT,
	reflect.TypeFor[time.Duration]():     pb.ConfigField_TYPE_DURATION,
	reflect.TypeFor[Size]():              pb.ConfigField_TYPE_SIZE,
	reflect.TypeFor[[]string]():          pb.ConfigField_TYPE_STRINGS,
	reflect.TypeFor[map[string]string](): pb.ConfigField_TYPE_MAP,
}

// configFields reads the tags of the struct that config points to.
func configFields(config any) ([]configField, error) {
	if config == nil {
		return nil, nil
	}
	v := reflect.ValueOf(config)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return nil, fmt.Errorf("configuration is a %T: want a pointer to a struct", config)
	}
	v = v.Elem()
	var fields []configField
	// Fields of embedded structs are fields of the section too.
	for _, f := range reflect.VisibleFields(v.Type()) {
		key := f.Tag.Get("config")
		if key == "" {
			continue
		}
		kind, ok := configKinds[f.Type]
		if !ok || !f.IsExported() {
			return nil, fmt.Errorf("field %s of Config: type %v cannot be configured", f.Name, f.Type)
		}
		fields = append(fields, configField{f.Index, key, kind, formatValue(v.FieldByIndex(f.Index)), f.Tag})
	}
	return fields, nil
}

func formatValue(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case []string:
		return strings.Join(x, ",")
	case map[string]string:
		var pairs []string
		for k, e := range x {
			pairs = append(pairs, k+"="+e)
		}
		slices.Sort(pairs)
		return strings.Join(pairs, ",")
	case Size:
		return strconv.FormatInt(int64(x), 10)
	}
	return fmt.Sprint(v.Interface())
}

func (f configField) describe() *pb.ConfigField {
	d := &pb.ConfigField{
		Key: f.key, Type: f.kind, Default: f.value,
		Help: f.tag.Get("help"), Min: f.tag.Get("min"), Max: f.tag.Get("max"),
		Secret: f.tag.Get("secret") == "true",
	}
	if of := f.tag.Get("oneof"); of != "" {
		d.Allowed = strings.Split(of, ",")
	}
	return d
}

// setConfig decodes the section into the struct. The host has checked types and
// ranges; what still does not fit is named by its key.
func setConfig(config any, fields []configField, document []byte) error {
	if config == nil || len(document) == 0 {
		return nil
	}
	var values map[string]json.RawMessage
	if err := json.Unmarshal(document, &values); err != nil {
		return fmt.Errorf("decode the configuration: %w", err)
	}
	v := reflect.ValueOf(config).Elem()
	for _, f := range fields {
		raw, ok := values[f.key]
		if !ok || string(raw) == "null" {
			continue
		}
		if err := f.set(v.FieldByIndex(f.index), raw); err != nil {
			return fmt.Errorf("key %s: %w", f.key, err)
		}
	}
	return nil
}

func (f configField) set(v reflect.Value, raw json.RawMessage) error {
	if f.kind == pb.ConfigField_TYPE_DURATION && raw[0] == '"' {
		var s string
		if err := json.Unmarshal(raw, &s); err != nil {
			return err
		}
		d, err := time.ParseDuration(s)
		if err != nil {
			return err
		}
		v.SetInt(int64(d))
		return nil
	}
	if v.Kind() == reflect.Slice || v.Kind() == reflect.Map {
		v.SetZero() // replace the default instead of merging into it
	}
	return json.Unmarshal(raw, v.Addr().Interface())
}
