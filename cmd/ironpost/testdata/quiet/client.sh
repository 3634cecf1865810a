# The administrator's machine: what it does is in the rounds.
printf '[server]\nenable-dbus=no\nallow-interfaces=eth0\n' >/etc/avahi.conf
avahi-daemon --file /etc/avahi.conf --no-drop-root --no-rlimits --no-chroot --syslog &
mkdir -p /srv/data
for i in $(seq 3000); do
	mkdir -p /srv/data/$((i % 50))
	head -c $((300 + i * 5)) /dev/urandom >/srv/data/$((i % 50))/file$i
done
chown -R deploy /srv/data
touch /run/ready
wait
