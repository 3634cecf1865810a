package enginetest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
)

// Run starts a container with further options in JSON, removed with the test, and
// returns its id. Its program sleeps unless the options have another Cmd.
func (d *Docker) Run(name, options string) string {
	d.t.Helper()
	id := d.Create(name, options)
	d.Call(nil, http.MethodPost, "/containers/"+id+"/start", "")
	return id
}

// Create is Run without starting the container.
func (d *Docker) Create(name, options string) string {
	d.t.Helper()
	return d.CreateBy("1.41", name, options)
}

// CreateBy is Create by a version of the API.
func (d *Docker) CreateBy(version, name, options string) string {
	d.t.Helper()
	members := map[string]json.RawMessage{"Image": json.RawMessage(`"busybox:local"`), "Cmd": json.RawMessage(`["/busybox","sleep","3600"]`), "StopSignal": json.RawMessage(`"SIGKILL"`)}
	if err := json.Unmarshal([]byte("{"+options+"}"), &members); err != nil {
		d.t.Fatal(err)
	}
	body, err := json.Marshal(members)
	if err != nil {
		d.t.Fatal(err)
	}
	var made struct{ ID string }
	d.Call(&made, http.MethodPost, "/v"+version+"/containers/create?name="+name, string(body))
	d.t.Cleanup(func() { _ = d.Try(http.MethodDelete, "/containers/"+made.ID+"?force=1", "") })
	return made.ID
}

// Network makes a bridge network with a subnet such as 172.30.1.0/24, and returns
// its id.
func (d *Docker) Network(name, subnet string) string {
	d.t.Helper()
	var made struct{ ID string }
	d.Call(&made, http.MethodPost, "/networks/create", fmt.Sprintf(`{"Name":%q,"Driver":"bridge","IPAM":{"Config":[{"Subnet":%q}]}}`, name, subnet))
	return made.ID
}

// MakeNetwork makes a network from its settings in JSON, without the name.
func (d *Docker) MakeNetwork(name, settings string) {
	d.t.Helper()
	d.Call(nil, http.MethodPost, "/networks/create", fmt.Sprintf(`{"Name":%q,%s}`, name, settings))
}

// Link makes a pair of network devices, up, to stand for a card in the machine:
// networks of the kind macvlan need one.
func (d *Docker) Link(name string) {
	d.t.Helper()
	script := fmt.Sprintf("ip link add %[1]s type veth peer name %[1]sp && ip link set %[1]s up && ip link set %[1]sp up", name)
	if out, err := exec.Command("nsenter", "--target", strconv.Itoa(d.pid), "--net", "sh", "-c", script).CombinedOutput(); err != nil {
		d.t.Fatalf("make the device %s: %v: %s", name, err, out)
	}
}

// In runs a command of busybox in a container, and returns what it printed, which
// may be that there was an error.
func (d *Docker) In(id string, args ...string) string {
	d.t.Helper()
	words, err := json.Marshal(append([]string{"/busybox"}, args...))
	if err != nil {
		d.t.Fatal(err)
	}
	var made struct{ ID string }
	d.Call(&made, http.MethodPost, "/containers/"+id+"/exec", `{"Tty":true,"AttachStdout":true,"AttachStderr":true,"Cmd":`+string(words)+`}`)
	resp, err := d.client.Post("http://docker/v1.41/exec/"+made.ID+"/start", "application/json", strings.NewReader(`{"Tty":true}`))
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	return strings.ReplaceAll(string(out), "\r\n", "\n")
}

// Wait waits until a container has ended, or, with the condition removed, is gone.
func (d *Docker) Wait(id, condition string) {
	d.t.Helper()
	if err := d.Try(http.MethodPost, "/containers/"+id+"/wait?condition="+condition, ""); err != nil && !strings.Contains(err.Error(), "404") {
		d.t.Fatal(err)
	}
}

// Import makes an image of one layer of a tar archive, and returns its id.
func (d *Docker) Import(repo, tag string, archive io.Reader) string {
	d.t.Helper()
	if err := d.call(nil, http.MethodPost, "/images/create?fromSrc=-&repo="+repo+"&tag="+tag, archive, "application/x-tar"); err != nil {
		d.t.Fatal(err)
	}
	var made struct{ ID string }
	d.Call(&made, http.MethodGet, "/images/"+repo+":"+tag+"/json", "")
	return made.ID
}

// Copy unpacks a tar archive into a container.
func (d *Docker) Copy(id, folder string, archive io.Reader) {
	d.t.Helper()
	if err := d.call(nil, http.MethodPut, "/containers/"+id+"/archive?path="+folder, archive, "application/x-tar"); err != nil {
		d.t.Fatal(err)
	}
}

// Inspect returns what Docker shows of a container.
func (d *Docker) Inspect(id string) map[string]any {
	d.t.Helper()
	var v map[string]any
	d.Call(&v, http.MethodGet, "/containers/"+id+"/json", "")
	return v
}
