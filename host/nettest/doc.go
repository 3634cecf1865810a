// Package nettest gives a test network namespaces of its own, joined by a veth
// pair, to attack one from the other with real tools.
//
//	pair := nettest.NewPair(t)
//	err := pair.Victim.Do(func() error { f, err = xdp.Open(...); return err })
//	out, err := pair.Attacker.Command(ctx, "nmap", "-sS", pair.Victim.IP4.String()).CombinedOutput()
//
// The namespaces have no name: descriptors of the test process hold them, so
// the kernel removes them with everything in them when the test ends, also when
// it is killed. Commands enter by nsenter --net, which leaves the mount
// namespace, and with it bpffs and cgroups, as it is.
//
// It needs Linux and root; NewPair skips the test, saying why, elsewhere.
package nettest
