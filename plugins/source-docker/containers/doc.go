// Package containers reads what Docker's containers write to stdout and stderr,
// and the events of the engine, through the API that the host serves.
//
// # Streams and records
//
// Each container has one stream, "container/ID", of the format json and the
// provenance container, since its program chooses every byte of a line. The
// engine's events are one stream, "events", of the provenance host. A line is a
// record with these members:
//
//	time             when Docker read the line, RFC 3339
//	log              the line, without its end
//	stream           stdout or stderr; a container with a terminal has stdout alone
//	container_id     64 hexadecimal digits
//	container_name   without the slash in front
//	container_image  as it was named when the container was made
//	container_program
//	                 the program that the container runs, without its folder: the first
//	                 word of its command that is not an init, a shell or the script of
//	                 an entry point; absent when a shell runs a script
//	container_labels an object with the labels that the configuration lets through
//	cut              true when the end of the line was left out
//
// An event has these members, and those of the container that it is about:
//
//	time, message
//	event_action       the type and the action, as container_start, image_pull,
//	                   container_exec_create, network_connect
//	command            of container_exec_create and container_exec_start: what is run
//	docker_type, docker_action, docker_attributes
//	                   as Docker has them; labels are among the attributes
//
// Events create, start, restart and exec_create of a container, and others of one
// of which these were seen, also tell how it is confined; nothing of it can
// change while the container lives:
//
//	container_privileged        true or false
//	container_read_only         true when its root file system is
//	container_user              the user that it runs as; absent: root
//	container_network_mode      host, none, default, bridge, the name of a
//	                            network, or container:ID
//	container_pid_mode, container_ipc_mode, container_uts_mode,
//	container_userns_mode, container_cgroupns_mode
//	                            host, private and others; absent: Docker's default
//	container_cap_add, container_cap_drop
//	                            lists of capabilities, without CAP_ in front
//	container_security_options  a list, as seccomp=unconfined
//	container_devices           a list of devices of the host
//	container_mounts            a list of SOURCE:DESTINATION:rw or :ro, of what it
//	                            mounts of the host's files; commas and colons in
//	                            these are %2C and %3A, and DESTINATION has 64 bytes
//	                            at most
//	container_settings_cut      true when a list is not told in full
//
// A list is absent when it is empty, and ends with "..." past 32 values or 4 KiB. It
// begins with the capabilities and mounts that lead out of a container, so that
// harmless ones in front of them cannot hide them; doubles are told once.
// parser-json joins its values with commas. An event of a container that was gone
// before it could be asked for has none of these (settings_unknown).
//
// A line that Docker cut into pieces of 16 KiB is put together again. What does
// not fit into event.MaxRecord with its members is left out, marked and counted
// (lines_cut).
//
// # Position
//
// Docker numbers nothing, but keeps a stamp in nanoseconds with each line and
// begins at a given one. Stamps are not in order: stdout and stderr are read by
// two, and some lines share a stamp. So a checkpoint holds an anchor (a stamp
// some seconds old), how many lines were read since it, and a hash of the last
// one. After a lost connection, a restart of Docker, of the plugin or of the host
// the lines since the anchor are asked for again and as many passed over. When
// the last one is not where it was, because Docker's own rotation deleted lines
// before it, it is looked for; when it is gone too, reading goes on with what is
// left, counted (rotated_away). The engine keeps its last 256 events, in memory:
// those that were seen are known by their hashes, and a gap that can be larger is
// counted (events_gaps).
//
// What Docker deleted before it was read is lost, which happens to containers run
// with --rm that live shorter than it takes to connect. Where the clock was set
// back, Docker itself leaves out lines that are stamped before the anchor. A dockerd
// that is stopped with --live-restore does not wait for what it has read of a
// container that goes on: up to 2 KiB of stdout and of stderr are in no log then.
//
// # Bounds
//
// At most max_containers are followed, with a connection and a goroutine each;
// the others are counted and named in the health. A stream that the host holds up
// holds up no other, and no container: Docker keeps the lines.
package containers
