package host

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/ironpost/ironpost/host/internal/resident"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// residents answers from tables.
type residents struct {
	behind  map[string]resident.Answer // by address, and port where there is one
	process map[int]resident.Answer
	err     error
	asked   int
}

func (r *residents) Behind(e resident.Endpoint) (resident.Answer, error) {
	r.asked++
	key := e.Addr.String()
	if e.Port != 0 {
		key = netip.AddrPortFrom(e.Addr, e.Port).String()
	}
	if e.Protocols != 0 {
		key += fmt.Sprint(" ", e.Protocols)
	}
	return r.behind[key], r.err
}

func (r *residents) Process(pid int, _ string, _ time.Time) (resident.Answer, error) {
	r.asked++
	return r.process[pid], r.err
}

func fields(pairs ...string) []*pb.Field {
	var out []*pb.Field
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, &pb.Field{Key: pairs[i], Value: pairs[i+1]})
	}
	return out
}

// said is entities and details as text, one in a line.
func said(a *pb.AlertEvent) string {
	var b strings.Builder
	for _, f := range a.Entities {
		fmt.Fprintf(&b, "%s: %s\n", f.Key, f.Value)
	}
	for _, f := range a.Details {
		fmt.Fprintf(&b, ". %s: %s\n", f.Key, f.Value)
	}
	return b.String()
}

func TestAttribution(t *testing.T) {
	idA, idB := strings.Repeat("a1", 32), strings.Repeat("b2", 32)
	nginx := resident.Answer{
		Processes: []resident.Process{
			{PID: 20, Name: "nginx", Executable: "/usr/sbin/nginx", User: "root", Namespace: 4026531840},
			{PID: 21, Name: "nginx", Executable: "/usr/sbin/nginx", UID: 33, User: "www", Namespace: 4026531840},
		},
		Namespaces: []uint64{4026531840}, Via: []string{"socket"},
	}
	web := resident.Answer{
		Processes:  []resident.Process{{PID: 100, Name: "httpd", Executable: "/httpd", Container: resident.Container{ID: idA}, Namespace: 7}},
		Containers: []resident.Container{{ID: idA}}, Namespaces: []uint64{7}, Via: []string{"docker-proxy", "socket"},
	}
	other := resident.Answer{Containers: []resident.Container{{ID: idB}}, Namespaces: []uint64{8}, Via: []string{"address"}}
	made := resident.Answer{Containers: []resident.Container{{ID: idA, Delegate: "1000"}}, Namespaces: []uint64{8}, Via: []string{"socket"}}
	both := resident.Answer{Containers: []resident.Container{{ID: idA}, {ID: idB}}, Namespaces: []uint64{7, 8}, Via: []string{"address"}, Ambiguous: true}
	masked := resident.Answer{Processes: []resident.Process{{PID: 30, Name: "192.0.2.9", Executable: "/x"}}, Via: []string{"socket"}}
	logger := resident.Answer{Processes: []resident.Process{{PID: 812, Name: "sshd", Executable: "/usr/sbin/sshd", Container: resident.Container{ID: idB}}}, Containers: []resident.Container{{ID: idB}}, Via: []string{"pid"}}
	r := &residents{
		behind: map[string]resident.Answer{
			"192.0.2.1:80 1": nginx, "192.0.2.1:8080 1": web, "192.0.2.1:81 1": both, "192.0.2.1:82 1": made, "192.0.2.1:83 1": masked,
			"192.0.2.1:8080": web, "172.17.0.3": other, "172.17.0.9": both, "172.17.0.2 1": web,
		},
		process: map[int]resident.Answer{812: logger},
	}
	syn := []*pb.PacketEvent{{Syn: 1, DestinationPort: 80, PortSample: []uint32{80, 8080, 9999}}}
	sshd := []*pb.LogEvent{{Pid: 812, Process: "sshd"}}
	const host = pb.Provenance_PROVENANCE_HOST
	const network = pb.Provenance_PROVENANCE_NETWORK
	webDetails := ". dst_container_id: " + idA + "\n. dst_pid: 100\n. dst_process: httpd\n. dst_executable: /httpd\n. dst_uid: 0\n. dst_netns: 7\n. dst_via: docker-proxy,socket\n"
	nginxDetails := ". dst_pid: 20,21\n. dst_process: nginx,nginx\n. dst_executable: /usr/sbin/nginx,/usr/sbin/nginx\n. dst_uid: 0,33\n. dst_user: root,www\n. dst_netns: 4026531840\n. dst_via: socket\n"
	srcDetails := ". src_container_id: " + idB + "\n. src_netns: 8\n. src_via: address\n"
	for _, tt := range []struct {
		name string
		in   *pb.AlertEvent
		want string
	}{
		{
			"a published port", &pb.AlertEvent{Entities: fields("dst_ip", "192.0.2.1", "dst_port", "8080"), Packets: syn, Provenance: network},
			"dst_ip: 192.0.2.1\ndst_port: 8080\ncontainer_id: " + idA + "\nprocess: httpd\npid: 100\n" + webDetails + ". container_role: dst\n",
		},
		{
			"a service with several processes", &pb.AlertEvent{Entities: fields("dst_ip", "192.0.2.1", "dst_port", "80"), Packets: syn, Provenance: network},
			"dst_ip: 192.0.2.1\ndst_port: 80\nprocess: nginx\n" + nginxDetails,
		},
		{
			"what the detector set stays", &pb.AlertEvent{
				Entities: fields("dst_ip", "192.0.2.1", "dst_port", "8080", "container_id", "mine"), Details: fields("dst_pid", "1"), Packets: syn, Provenance: network,
			},
			"dst_ip: 192.0.2.1\ndst_port: 8080\ncontainer_id: mine\n. dst_pid: 1\n" + strings.Replace(webDetails, ". dst_pid: 100\n", "", 1),
		},
		{
			"doubt", &pb.AlertEvent{Entities: fields("dst_ip", "192.0.2.1", "dst_port", "81"), Packets: syn, Provenance: network},
			"dst_ip: 192.0.2.1\ndst_port: 81\n. dst_container_id: " + idA + "," + idB + "\n. dst_netns: 7,8\n. dst_via: address\n. dst_ambiguous: true\n",
		},
		{
			"a container that a user made up", &pb.AlertEvent{Entities: fields("dst_ip", "192.0.2.1", "dst_port", "82"), Packets: syn, Provenance: network},
			"dst_ip: 192.0.2.1\ndst_port: 82\n. dst_container_id: " + idA + "\n. dst_container_user: 1000\n. dst_netns: 8\n. dst_via: socket\n",
		},
		{
			"a process that is named like an address", &pb.AlertEvent{Entities: fields("dst_ip", "192.0.2.1", "dst_port", "83"), Packets: syn, Provenance: network},
			"dst_ip: 192.0.2.1\ndst_port: 83\npid: 30\n. dst_pid: 30\n. dst_process: 192.0.2.9\n. dst_executable: /x\n. dst_uid: 0\n. dst_via: socket\n",
		},
		{
			"a scan of the host: who listens on the sample", &pb.AlertEvent{Entities: fields("dst_ip", "192.0.2.1"), Packets: syn, Provenance: network},
			"dst_ip: 192.0.2.1\n. dst_container_id: " + idA + "\n. dst_pid: 20,21,100\n. dst_process: nginx,nginx,httpd\n" +
				". dst_executable: /usr/sbin/nginx,/usr/sbin/nginx,/httpd\n. dst_uid: 0,33,0\n. dst_user: root,www,\n. dst_netns: 7,4026531840\n" +
				". dst_via: docker-proxy,socket,port_sample\n. dst_ambiguous: true\n",
		},
		{
			"a container is attacked by packets in another's name", &pb.AlertEvent{Entities: fields("src_ip", "172.17.0.3", "dst_ip", "172.17.0.2"), Packets: syn, Provenance: network},
			"src_ip: 172.17.0.3\ndst_ip: 172.17.0.2\ncontainer_id: " + idA + "\nprocess: httpd\npid: 100\n" + webDetails + srcDetails + ". container_role: dst\n",
		},
		{
			"packets in a container's name", &pb.AlertEvent{Entities: fields("src_ip", "172.17.0.3"), Packets: syn, Provenance: network},
			"src_ip: 172.17.0.3\n" + srcDetails,
		},
		{
			"a container that is shown to attack", &pb.AlertEvent{Entities: fields("src_ip", "172.17.0.3"), Provenance: host, Evidence: pb.Evidence_EVIDENCE_CONFIRMED},
			"src_ip: 172.17.0.3\ncontainer_id: " + idB + "\n" + srcDetails + ". container_role: src\n",
		},
		{
			"one that is shown to attack another", &pb.AlertEvent{
				Entities: fields("src_ip", "172.17.0.3", "dst_ip", "192.0.2.1", "dst_port", "8080"), Provenance: host, Evidence: pb.Evidence_EVIDENCE_CONFIRMED,
			},
			"src_ip: 172.17.0.3\ndst_ip: 192.0.2.1\ndst_port: 8080\nprocess: httpd\npid: 100\n" + webDetails + srcDetails,
		},
		{
			"who wrote the line", &pb.AlertEvent{Entities: fields("process", "sshd"), Logs: sshd, Provenance: host},
			"process: sshd\n. log_container_id: " + idB + "\n. log_pid: 812\n. log_process: sshd\n. log_executable: /usr/sbin/sshd\n. log_uid: 0\n. log_via: pid\n",
		},
		{
			"who wrote the lines, as far as they live", &pb.AlertEvent{Logs: append(sshd[:1:1], &pb.LogEvent{Pid: 1, Process: "sshd"}), Provenance: host},
			". log_container_id: " + idB + "\n. log_pid: 812\n. log_process: sshd\n. log_executable: /usr/sbin/sshd\n. log_uid: 0\n. log_via: pid\n. log_ambiguous: true\n",
		},
		{"what a stranger writes", &pb.AlertEvent{Entities: fields("dst_ip", "192.0.2.1", "dst_port", "8080"), Logs: sshd, Provenance: network}, "dst_ip: 192.0.2.1\ndst_port: 8080\n"},
		{
			"what a container writes", &pb.AlertEvent{Entities: fields("dst_ip", "192.0.2.1", "dst_port", "8080"), Logs: sshd, Provenance: pb.Provenance_PROVENANCE_CONTAINER},
			"dst_ip: 192.0.2.1\ndst_port: 8080\n",
		},
		{
			"packets and what a stranger writes", &pb.AlertEvent{Entities: fields("dst_ip", "192.0.2.1", "dst_port", "8080"), Packets: syn, Logs: sshd, Provenance: network},
			"dst_ip: 192.0.2.1\ndst_port: 8080\n",
		},
		{"several destinations", &pb.AlertEvent{Entities: fields("dst_ip", "192.0.2.1", "dst_ip", "192.0.2.2"), Packets: syn, Provenance: network}, "dst_ip: 192.0.2.1\ndst_ip: 192.0.2.2\n"},
		{"no address", &pb.AlertEvent{Entities: fields("dst_ip", "web"), Packets: syn, Provenance: network}, "dst_ip: web\n"},
		{"nothing named", &pb.AlertEvent{Packets: syn, Provenance: network}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			attribution{r}.add(tt.in)
			if diff := cmp.Diff(tt.want, said(tt.in)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestAttributionFails: an alert goes out as it is when nobody could be looked for,
// or when there is no room for more.
func TestAttributionFails(t *testing.T) {
	r := &residents{err: errors.New("no time")}
	a := &pb.AlertEvent{
		Entities: fields("dst_ip", "192.0.2.1", "src_ip", "172.17.0.3"), Packets: []*pb.PacketEvent{{Syn: 1, PortSample: []uint32{1, 2}}}, Provenance: pb.Provenance_PROVENANCE_NETWORK,
	}
	want := proto.Clone(a)
	attribution{r}.add(a)
	if !proto.Equal(a, want) || r.asked == 0 {
		t.Errorf("got %v after %d questions, want it as it was", a, r.asked)
	}
	r = &residents{behind: map[string]resident.Answer{"172.17.0.3": {Containers: []resident.Container{{ID: strings.Repeat("a", 64)}}}}}
	a.Description = strings.Repeat("x", pb.MaxBatchBytes/2)
	want = proto.Clone(a)
	attribution{r}.add(a)
	if !proto.Equal(a, want) {
		t.Error("a large alert grew")
	}
}
