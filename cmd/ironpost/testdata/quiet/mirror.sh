# A mirror of packages, a proxy of modules, a git server, and where backups go.
for version in 1.0 1.1; do
	for i in $(seq 40); do
		tree=$(mktemp -d)
		mkdir -p "$tree/DEBIAN" "$tree/usr/share/quiet$i"
		chmod 0755 "$tree"
		printf 'Package: quiet%s\nVersion: %s\nArchitecture: all\nMaintainer: nobody <nobody@example.test>\nDescription: package %s of the quiet day\n' $i $version $i >"$tree/DEBIAN/control"
		head -c $((20000 + i * i * 3000)) /dev/urandom >"$tree/usr/share/quiet$i/data"
		mkdir -p /srv/debian-$version
		dpkg-deb -Znone --build "$tree" /srv/debian-$version/quiet${i}_$version.deb >/dev/null
		rm -rf "$tree"
	done
	(cd /srv/debian-$version && apt-ftparchive packages . >Packages && gzip -k Packages && apt-ftparchive release . >/tmp/Release && mv /tmp/Release Release)
done
git config --global init.defaultBranch main
git config --global user.email nobody@example.test
git config --global user.name nobody
git config --global safe.directory '*'
mkdir -p /srv/git /tmp/tree && cd /tmp/tree && git init -q
for i in $(seq 30); do
	for j in $(seq 20); do head -c 3000 /dev/urandom | base64 >file$j-$((i % 5)); done
	git add . && git commit -qm "change $i"
done
git clone -q --bare /tmp/tree /srv/git/tree.git && git -C /srv/git/tree.git update-server-info
cd /
chown -R deploy /srv/git
cat >/etc/nginx/nginx.conf <<-END
	user root; worker_processes 1; pid /run/nginx.pid; daemon off;
	error_log stderr;
	events { worker_connections 1024; }
	http {
	access_log off;
	server { listen 80; listen [::]:80; root /srv; autoindex on; }
	server { listen 8081; listen [::]:8081; root $(cat /run/modules); }
	server { listen 8082; listen [::]:8082; location / { return 200 '{"status":"ok"}'; } }
	}
END
nginx &
printf 'Port 22\nPort 2222\nUsePAM yes\nPidFile none\nHostKey /etc/ssh/ssh_host_ed25519_key\nMaxStartups 60:30:120\n' >/etc/ssh/sshd_config
rm -rf /etc/ssh/sshd_config.d /etc/ssh/ssh_host_*
ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key
/usr/sbin/sshd -D &
git daemon --base-path=/srv/git --export-all --reuseaddr &
iperf3 --server >/dev/null &
mkdir -p /srv/backup && chown deploy /srv/backup
wait
