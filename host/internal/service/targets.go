package service

import (
	"fmt"
	"slices"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// targetService is the name of the service that takes reports of targets.
const targetService = "targets"

// maxTargets and maxTarget bound one report.
const (
	maxTargets = 256
	maxTarget  = 256
)

func (s *Session) targets(report *pb.ReportTargets) error {
	switch {
	case !slices.Contains(s.granted.Services, targetService):
		return fmt.Errorf("service %q was not granted", targetService)
	case len(report.GetTargets()) > maxTargets:
		return fmt.Errorf("%d targets, at most %d are taken", len(report.GetTargets()), maxTargets)
	case slices.ContainsFunc(report.GetTargets(), func(t string) bool { return len(t) > maxTarget }):
		return fmt.Errorf("a target is longer than %d bytes", maxTarget)
	}
	if s.granted.Changed != nil {
		s.granted.Changed(report.GetTargets())
	}
	return nil
}
