package extract

import (
	"fmt"

	"github.com/google/osv-scalibr/log"
	"github.com/hashicorp/go-hclog"
)

// Log has the library's own messages, which are about single entries of files, go
// to l as details.
func Log(l hclog.Logger) { log.SetLogger(details{l}) }

// details writes the library's messages at the level debug.
type details struct{ to hclog.Logger }

func (d details) Errorf(format string, args ...any) { d.say(fmt.Sprintf(format, args...)) }
func (d details) Warnf(format string, args ...any)  { d.say(fmt.Sprintf(format, args...)) }
func (d details) Infof(format string, args ...any)  { d.say(fmt.Sprintf(format, args...)) }
func (d details) Debugf(string, ...any)             {}
func (d details) Error(args ...any)                 { d.say(fmt.Sprint(args...)) }
func (d details) Warn(args ...any)                  { d.say(fmt.Sprint(args...)) }
func (d details) Info(args ...any)                  { d.say(fmt.Sprint(args...)) }
func (d details) Debug(...any)                      {}

func (d details) say(text string) { d.to.Debug("while reading", "detail", text) }
