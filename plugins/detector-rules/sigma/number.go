package sigma

import (
	"math"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/ironpost/ironpost/plugins/detector-rules/document"
)

func compared(c Comparison) func(*reader, *item) error {
	name := [...]string{Less: "lt", LessEqual: "lte", Greater: "gt", GreaterEqual: "gte"}[c]
	return func(r *reader, it *item) error {
		return r.each(it, func(o *operand) ([]operand, error) {
			switch {
			case o.Kind == IsTime && o.Comparison == Equal:
			case o.Kind == IsText && o.isNumber:
				o.Kind, o.Number, o.Text = IsNumber, o.number, nil
			default:
				return nil, r.misused(it, "%s compares with a number, and the value is %s; a number stands without quotes", name, o.describe())
			}
			o.Comparison = c
			return []operand{*o}, nil
		})
	}
}

func timed(part TimePart) func(*reader, *item) error {
	name := [...]string{"minute", "hour", "day", "week", "month", "year"}[part]
	limits := [...][2]float64{Minute: {0, 59}, Hour: {0, 23}, Day: {1, 31}, Week: {1, 53}, Month: {1, 12}, Year: {0, 9999}}[part]
	return func(r *reader, it *item) error {
		return r.each(it, func(o *operand) ([]operand, error) {
			switch {
			case o.Kind == IsNumber:
			case o.Kind == IsText && o.isNumber:
				o.Number, o.Text = o.number, nil
			default:
				return nil, r.misused(it, "%s compares with a number, and the value is %s; a number stands without quotes", name, o.describe())
			}
			if o.Number < limits[0] || o.Number > limits[1] || o.Number != math.Trunc(o.Number) {
				return nil, r.problem(it.node, CodeOutOfRange, "%s: %v is no %s; it lies between %v and %v", it.what, o.Number, name, limits[0], limits[1])
			}
			o.Kind, o.Part = IsTime, part
			return []operand{*o}, nil
		})
	}
}

func (r *reader) modCIDR(it *item) error {
	return r.each(it, func(o *operand) ([]operand, error) {
		if err := r.textual(it, o, "cidr"); err != nil {
			return nil, err
		}
		s, _ := o.Text.Plain()
		p, err := document.ParseNetwork(s)
		if err != nil {
			return nil, r.problem(it.node, CodeInvalidValue, "%s: %s is no network; write 10.0.0.0/8 or 2001:db8::/32", it.what, o.describe())
		}
		o.Kind, o.Network, o.Text = InNetwork, p, nil
		return []operand{*o}, nil
	})
}

// scalar reads a value of a rule.
func (r *reader) scalar(it *item, n *yaml.Node) (operand, error) {
	if len(n.Value) > MaxText {
		return operand{}, r.problem(n, CodeOutOfRange, "%s: the value has %d bytes, allowed are %d", it.what, len(n.Value), MaxText)
	}
	o := operand{written: n.Value}
	switch n.ShortTag() {
	case "!!null":
		o.Kind = IsNull
	case "!!bool":
		o.isBool = true
		o.Text = Text(nil).with(Literal, strings.ToLower(n.Value))
	case "!!int", "!!float":
		var f float64
		if n.Decode(&f) != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			return o, r.problem(n, CodeInvalidValue, "%s: %q is no number that can be compared; put it in quotes", it.what, document.Clip(n.Value))
		}
		o.isNumber, o.number = true, f
		o.Text = Text(nil).with(Literal, n.Value)
	default:
		o.Text = ParseText(n.Value)
		if wild := wildcards(o.Text); wild > MaxWildcards {
			return o, r.problem(n, CodeTooLarge, "%s: the value has %d wildcards, allowed are %d", it.what, wild, MaxWildcards)
		}
	}
	return o, nil
}

func wildcards(t Text) int {
	n := 0
	for _, p := range t {
		if p.Wild != Literal {
			n++
		}
	}
	return n
}

// Number is how a number is written where texts are compared: in decimal, without
// exponent, with as many digits as tell it from every other.
func Number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// ParseNumber reads a decimal number. Texts that cannot be one are told apart
// first, because the error of ParseFloat is an allocation.
func ParseNumber(s string) (float64, bool) {
	if s == "" || len(s) > 64 {
		return 0, false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && c != '.' && c != '-' && c != '+' && c != 'e' && c != 'E' {
			return 0, false
		}
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil
}
