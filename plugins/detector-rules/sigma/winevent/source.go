package winevent

import (
	"slices"
	"strings"

	"github.com/ironpost/ironpost/plugins/detector-rules/sigma"
)

const (
	product       = "windows"
	sysmonChannel = "microsoft-windows-sysmon/operational"
)

// route finds the log sources of the event, from the taxonomy appendix of the
// Sigma specification 2.1.
func (e *Event) route() {
	channel, id := strings.ToLower(e.get("Channel")), e.get("EventID")
	categories := categoriesOf(channel, id)
	if strings.EqualFold(e.get("Provider_Name"), "Microsoft-Windows-Kernel-File") {
		categories = append(slices.Clone(categories), "file_access", "file_rename")
	}
	services := servicesOf(channel)
	if len(services) == 0 {
		services = []string{""}
	}
	for _, service := range services {
		e.sources = append(e.sources, sigma.LogSource{Product: product, Service: service})
		for _, category := range categories {
			e.sources = append(e.sources, sigma.LogSource{Category: category, Product: product, Service: service})
		}
	}
	if channel == "security" && id == "4688" {
		e.rename()
	}
}

// rename adds the fields of a new process of the Security log under the names
// that Sigma has for them.
func (e *Event) rename() {
	names := map[string]string{
		"NewProcessName":    "Image",
		"ParentProcessName": "ParentImage",
		"NewProcessId":      "ProcessId",
		"SubjectUserName":   "User",
		"SubjectLogonId":    "LogonId",
		"MandatoryLabel":    "IntegrityLevel",
	}
	var added []Field
	for _, f := range e.fields {
		to, ok := names[f.Name]
		if !ok || f.Null {
			continue
		}
		f.Name = to
		if level, ok := integrityLevels[f.Text]; ok && to == "IntegrityLevel" {
			f.Text = level
		}
		added = append(added, f)
	}
	// The process that makes another is under the name that Sigma has for the
	// new one.
	e.fields = slices.DeleteFunc(e.fields, func(f Field) bool { return f.Name == "ProcessId" })
	e.fields = append(e.fields, added...)
}

// integrityLevels are the words for the labels (Microsoft, Well-known SIDs).
var integrityLevels = map[string]string{
	"S-1-16-0":     "Untrusted",
	"S-1-16-4096":  "Low",
	"S-1-16-8192":  "Medium",
	"S-1-16-12288": "High",
	"S-1-16-16384": "System",
}

// categoriesOf returns the categories of an event by its channel, in small
// letters, and its id.
func categoriesOf(channel, id string) []string {
	switch channel {
	case sysmonChannel:
		return sysmonCategories[id]
	case "security":
		if id == "4688" {
			return []string{"process_creation"}
		}
	case "windows powershell":
		switch id {
		case "400":
			return []string{"ps_classic_start"}
		case "600":
			return []string{"ps_classic_provider_start"}
		case "800":
			return []string{"ps_classic_script"}
		}
	case "microsoft-windows-powershell/operational", "powershellcore/operational":
		switch id {
		case "4103":
			return []string{"ps_module"}
		case "4104":
			return []string{"ps_script"}
		}
	}
	return nil
}

var sysmonCategories = map[string][]string{
	"1":   {"process_creation"},
	"2":   {"file_change"},
	"3":   {"network_connection"},
	"4":   {"sysmon_status"},
	"5":   {"process_termination"},
	"6":   {"driver_load"},
	"7":   {"image_load"},
	"8":   {"create_remote_thread"},
	"9":   {"raw_access_thread"},
	"10":  {"process_access"},
	"11":  {"file_event"},
	"12":  {"registry_event", "registry_add", "registry_delete"},
	"13":  {"registry_event", "registry_set"},
	"14":  {"registry_event", "registry_rename"},
	"15":  {"create_stream_hash"},
	"16":  {"sysmon_status"},
	"17":  {"pipe_created"},
	"18":  {"pipe_created"},
	"19":  {"wmi_event"},
	"20":  {"wmi_event"},
	"21":  {"wmi_event"},
	"22":  {"dns_query"},
	"23":  {"file_delete"},
	"24":  {"clipboard_capture"},
	"25":  {"process_tampering"},
	"26":  {"file_delete_detected"},
	"27":  {"file_block_executable"},
	"28":  {"file_block_shredding"},
	"29":  {"file_executable_detected"},
	"255": {"sysmon_error"},
}

// servicesOf returns the services of a channel in small letters.
func servicesOf(channel string) []string { return channelServices[channel] }

// channelServices has, beside the taxonomy, the channels of the SMB and Service Bus
// services that rules name and the taxonomy does not.
var channelServices = map[string][]string{
	"application": {"application"},
	"microsoft-windows-application-experience/program-telemetry":               {"application-experience"},
	"microsoft-windows-application-experience/program-compatibility-assistant": {"application-experience"},
	"microsoft-windows-applocker/msi and script":                               {"applocker"},
	"microsoft-windows-applocker/exe and dll":                                  {"applocker"},
	"microsoft-windows-applocker/packaged app-deployment":                      {"applocker"},
	"microsoft-windows-applocker/packaged app-execution":                       {"applocker"},
	"microsoft-windows-appmodel-runtime/admin":                                 {"appmodel-runtime"},
	"microsoft-windows-appxdeploymentserver/operational":                       {"appxdeployment-server"},
	"microsoft-windows-appxpackaging/operational":                              {"appxpackaging-om"},
	"microsoft-windows-bitlocker/bitlocker management":                         {"bitlocker"},
	"microsoft-windows-bits-client/operational":                                {"bits-client"},
	"microsoft-windows-capi2/operational":                                      {"capi2"},
	"microsoft-windows-certificateservicesclient-lifecycle-system/operational": {"certificateservicesclient-lifecycle-system"},
	"microsoft-windows-codeintegrity/operational":                              {"codeintegrity-operational"},
	"microsoft-windows-dhcp-server/operational":                                {"dhcp"},
	"microsoft-windows-diagnosis-scripted/operational":                         {"diagnosis-scripted"},
	"microsoft-windows-dns client events/operational":                          {"dns-client"},
	"dns server": {"dns-server"},
	"microsoft-windows-dns-server/analytical":                            {"dns-server-analytic"},
	"microsoft-windows-dns-server/audit":                                 {"dns-server-audit"},
	"microsoft-windows-driverframeworks-usermode/operational":            {"driver-framework"},
	"microsoft-windows-windows firewall with advanced security/firewall": {"firewall-as"},
	"microsoft-windows-hyper-v-worker":                                   {"hyper-v-worker"},
	"microsoft-iis-configuration/operational":                            {"iis-configuration"},
	"microsoft-windows-kernel-eventtracing":                              {"kernel-event-tracing"},
	"microsoft-windows-kernel-shimengine/operational":                    {"kernel-shimengine"},
	"microsoft-windows-kernel-shimengine/diagnostic":                     {"kernel-shimengine"},
	"microsoft-windows-ldap-client/debug":                                {"ldap"},
	"microsoft-windows-lsa/operational":                                  {"lsa-server"},
	"msexchange management":                                              {"msexchange-management"},
	"microsoft-windows-ntfs/operational":                                 {"ntfs"},
	"microsoft-windows-ntlm/operational":                                 {"ntlm"},
	"openssh/operational":                                                {"openssh"},
	"microsoft-windows-powershell/operational":                           {"powershell"},
	"powershellcore/operational":                                         {"powershell"},
	"windows powershell":                                                 {"powershell-classic"},
	"microsoft-windows-printservice/admin":                               {"printservice-admin"},
	"microsoft-windows-printservice/operational":                         {"printservice-operational"},
	"security": {"security"},
	"microsoft-windows-security-mitigations/kernel mode": {"security-mitigations"},
	"microsoft-windows-security-mitigations/user mode":   {"security-mitigations"},
	"microsoft-windows-sense/operational":                {"sense"},
	"microsoft-servicebus-client/operational":            {"servicebus-client", "microsoft-servicebus-client"},
	"microsoft-servicebus-client/admin":                  {"servicebus-client", "microsoft-servicebus-client"},
	"microsoft-windows-shell-core/operational":           {"shell-core"},
	"microsoft-windows-smbclient/security":               {"smbclient-security"},
	"microsoft-windows-smbclient/connectivity":           {"smbclient-connectivity"},
	"microsoft-windows-smbserver/connectivity":           {"smbserver-connectivity"},
	sysmonChannel: {"sysmon"},
	"system":      {"system"},
	"microsoft-windows-taskscheduler/operational":                        {"taskscheduler"},
	"microsoft-windows-terminalservices-localsessionmanager/operational": {"terminalservices-localsessionmanager"},
	"microsoft-windows-vhdmp/operational":                                {"vhdmp"},
	"microsoft-windows-windows defender/operational":                     {"windefend"},
	"microsoft-windows-wmi-activity/operational":                         {"wmi"},
}
