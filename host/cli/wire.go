package cli

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/ironpost/ironpost/host"
	"github.com/ironpost/ironpost/host/internal/control"
	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/sdktest/suite"
)

// newApp joins the command line to the host.
func newApp() App {
	return App{
		Run: func(ctx context.Context, c RunConfig) error {
			return translate(host.Run(ctx, host.Config{
				Sources: host.Sources(c.Sources), DataDir: c.DataDir, Socket: c.Socket, Stdout: c.Stdout, Stderr: c.Stderr,
			}))
		},
		Replay: func(ctx context.Context, c ReplayConfig) (ReplaySummary, error) {
			s, err := host.Replay(ctx, host.ReplayConfig{
				Sources: host.Sources(c.Sources), Files: c.Files, Format: c.Format, Rules: c.Rules, ReferenceTime: c.ReferenceTime,
				TimeZone: c.TimeZone, Stdin: c.Stdin, Stdout: c.Stdout, Stderr: c.Stderr,
			})
			return ReplaySummary(s), translate(err)
		},
		Parse: func(ctx context.Context, c ParseConfig) error {
			return translate(host.Parse(ctx, host.ParseConfig{
				Sources: host.Sources(c.Sources), File: c.File, Format: c.Format, ReferenceTime: c.ReferenceTime,
				TimeZone: c.TimeZone, Stdin: c.Stdin, Stdout: c.Stdout, Stderr: c.Stderr,
			}))
		},
		ValidateRules: func(ctx context.Context, c RulesConfig) (*ironpostv1.BundleResponse, error) {
			r, err := host.ValidateRules(ctx, host.RulesConfig{Sources: host.Sources(c.Sources), Paths: c.Paths})
			return r, translate(err)
		},
		TestRules: func(ctx context.Context, c RulesConfig) (*ironpostv1.RuleTestReport, error) {
			r, err := host.TestRules(ctx, host.RulesConfig{Sources: host.Sources(c.Sources), Paths: c.Paths})
			return r, translate(err)
		},
		RulePaths: func(ctx context.Context, s Sources) ([]string, error) {
			paths, err := host.RulePaths(ctx, host.Sources(s))
			return paths, translate(err)
		},
		CoverRules: func(ctx context.Context, c CoverageConfig) ([]*ironpostv1.RuleCoverage, error) {
			r, err := host.CoverRules(ctx, host.CoverageConfig{
				Sources: host.Sources(c.Sources), Paths: c.Paths, Streams: c.Streams, Formats: c.Formats, Packets: c.Packets,
			})
			return r, translate(err)
		},
		ExplainRule: func(ctx context.Context, c ExplainConfig) (*ironpostv1.RuleExplanation, error) {
			r, err := host.ExplainRule(ctx, host.ExplainConfig{
				Sources: host.Sources(c.Sources), Rule: c.Rule, Paths: c.Paths, File: c.File, Format: c.Format, Stream: c.Stream,
				ReferenceTime: c.ReferenceTime, TimeZone: c.TimeZone, All: c.All, Limit: c.Limit, Stdin: c.Stdin, Stderr: c.Stderr,
			})
			return r, translate(err)
		},
		ListRules: func(ctx context.Context, c RulesConfig) ([]*ironpostv1.Rule, error) {
			r, err := host.ListRules(ctx, host.RulesConfig{Sources: host.Sources(c.Sources), Paths: c.Paths})
			return r, translate(err)
		},
		Scan: func(ctx context.Context, c ScanConfig) error {
			return translate(host.Scan(ctx, host.ScanConfig{
				Sources: host.Sources(c.Sources), Target: c.Target, Against: c.Against, Paths: c.Paths, Document: c.Document, Epoch: c.Epoch, Platform: c.Platform,
				Stdout: c.Stdout, Stderr: c.Stderr, Progress: c.Progress,
			}))
		},
		Advisories: func(ctx context.Context, c AdvisoriesConfig) error {
			return translate(host.Advisories(ctx, host.AdvisoriesConfig{
				Sources: host.Sources(c.Sources), Import: c.Import, Stdout: c.Stdout, Stderr: c.Stderr, Progress: c.Progress,
			}))
		},
		UpdateAdvisories: func(ctx context.Context, c UpdateConfig) error {
			return translate(host.UpdateAdvisories(ctx, host.UpdateConfig{
				Sources: host.Sources(c.Sources), From: c.From, Ecosystems: c.Ecosystems, AllowOlder: c.AllowOlder, AllowHTTP: c.AllowHTTP,
				Stdout: c.Stdout, Stderr: c.Stderr, Progress: c.Progress,
			}))
		},
		ExportAdvisories: func(ctx context.Context, s Sources, out, stderr io.Writer) error {
			return translate(host.ExportAdvisories(ctx, host.Sources(s), out, stderr))
		},
		ValidateConfig: func(ctx context.Context, s Sources) (ConfigReport, error) {
			file, problems, err := host.ValidateConfig(ctx, host.Sources(s))
			r := ConfigReport{File: file, Problems: []ConfigProblem{}}
			for _, p := range problems {
				r.Problems = append(r.Problems, ConfigProblem(p))
			}
			return r, translate(err)
		},
		ShowConfig: func(ctx context.Context, s Sources) ([]*ironpostv1.ConfigValue, error) {
			v, err := host.ShowConfig(ctx, host.Sources(s))
			return v, translate(err)
		},
		DescribePlugin: func(ctx context.Context, c PluginFileConfig) (*ironpostv1.PluginDescription, error) {
			d, err := host.DescribePlugin(ctx, host.DescribeConfig{Sources: host.Sources(c.Sources), File: c.File, Stderr: c.Stderr})
			return d, translate(err)
		},
		VerifyPlugins: func(ctx context.Context, c VerifyConfig) ([]*ironpostv1.PluginVerdict, error) {
			v, err := host.VerifyPlugins(ctx, host.VerifyConfig{Sources: host.Sources(c.Sources), Trust: c.Trust, Names: c.Names, Stderr: c.Stderr})
			return v, translate(err)
		},
		InstallPlugin: func(ctx context.Context, c InstallConfig) (*ironpostv1.PluginInstallation, error) {
			i, err := host.InstallPlugin(ctx, host.InstallConfig{
				Sources: host.Sources(c.Sources), Trust: c.Trust, File: c.File, Dir: c.Dir, Replace: c.Replace, Force: c.Force,
				NoEnable: c.NoEnable, Confirm: c.Confirm, Enable: c.Enable, Stderr: c.Stderr,
			})
			return i, translate(err)
		},
		ForgetPlugin: func(ctx context.Context, c RemoveConfig) (*ironpostv1.RemovePluginResponse, error) {
			r, err := host.ForgetPlugin(ctx, host.RemoveConfig{Sources: host.Sources(c.Sources), Name: c.Name, Force: c.Force, Stderr: c.Stderr})
			return r, translate(err)
		},
		DeletePlugin: host.DeletePlugin,
		Conform: func(ctx context.Context, c ConformConfig) (*suite.Report, error) {
			r, err := host.Conform(ctx, host.ConformConfig{
				Sources: host.Sources(c.Sources), File: c.File, Values: c.Values, Lines: c.Lines, Events: c.Events, Alerts: c.Alerts,
				Feed: c.Feed, Targets: c.Targets, Stateless: c.Stateless, Done: c.Done,
			})
			return r, translate(err)
		},
		PinnedFilters: func(s Sources, names []string) (*ironpostv1.FiltersResponse, error) {
			r, err := host.PinnedFilters(host.Sources(s), names)
			return r, translate(err)
		},
		DetachPinned: func(s Sources, names []string) (*ironpostv1.FiltersResponse, error) {
			r, err := host.DetachPinned(host.Sources(s), names)
			return r, translate(err)
		},
		DumpPinned: func(s Sources, r *ironpostv1.DumpFilterRequest) (*ironpostv1.DumpFilterResponse, error) {
			d, err := host.DumpPinned(host.Sources(s), r)
			return d, translate(err)
		},
		Evidence: func(ctx context.Context, c EvidenceConfig) ([]*ironpostv1.Incident, error) {
			list, err := host.Evidence(ctx, host.EvidenceConfig{Sources: host.Sources(c.Sources), Dir: c.Dir, ID: c.ID, Limit: c.Limit, Recorded: c.Recorded})
			return list, translate(err)
		},
		AuditDir: func(s Sources) (string, error) {
			dir, err := host.AuditDir(host.Sources(s))
			return dir, translate(err)
		},
		ControlSocket: func(s Sources) (string, error) {
			path, err := host.ControlSocket(host.Sources(s))
			return path, translate(err)
		},
	}
}

// translate gives the host's errors the sentinels of the command line.
func translate(err error) error {
	if errors.Is(err, host.ErrInvalid) && !errors.Is(err, control.ErrInvalid) {
		return &badInput{err}
	}
	return err
}

// badInput is an error of the host's about what it was given, as one of the
// control API's, in the host's words without those that say so once more.
type badInput struct{ error }

func (r *badInput) Error() string {
	return strings.Replace(r.error.Error(), host.ErrInvalid.Error()+": ", "", 1)
}

func (r *badInput) Is(target error) bool { return target == control.ErrInvalid }

func (r *badInput) Unwrap() error { return r.error }
