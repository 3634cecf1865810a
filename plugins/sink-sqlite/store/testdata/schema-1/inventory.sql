PRAGMA user_version = 1;
CREATE TABLE packages (
	seq INTEGER PRIMARY KEY,
	id TEXT NOT NULL UNIQUE,
	time INTEGER NOT NULL,
	target TEXT NOT NULL,
	target_name TEXT NOT NULL,
	name TEXT NOT NULL,
	version TEXT NOT NULL,
	ecosystem TEXT NOT NULL,
	purl TEXT NOT NULL,
	in_use INTEGER NOT NULL,
	severity INTEGER NOT NULL,
	doc TEXT NOT NULL
) STRICT;
CREATE INDEX packages_time ON packages (time);
CREATE INDEX packages_target ON packages (target, time);
CREATE INDEX packages_name ON packages (name, time);
CREATE TABLE advisories (
	name TEXT NOT NULL,
	package INTEGER NOT NULL,
	PRIMARY KEY (name, package)
) STRICT, WITHOUT ROWID;
CREATE INDEX advisories_package ON advisories (package);
CREATE TRIGGER packages_gone AFTER DELETE ON packages BEGIN
	DELETE FROM advisories WHERE package = old.seq;
END;
INSERT INTO packages VALUES (1, 'bf0306db233791afeaf5f8eb7e3ed71e', 1740830400000000000, 'host', '', 'p0', '1.0', 'npm', 'pkg:x/p0@1.0', 1, 0, '{"stream":{"id":11512908961858157445,"name":"/var/log/auth.log","plugin":"source-file","format":"syslog","time_zone":"Europe/Berlin","provenance":1},"arch":"amd64","state":"half-installed","licenses":["MIT"],"locations":["/a","/b"]}');
INSERT INTO packages VALUES (2, '7e794fe360d1af2f56b24d76dfe14f5b', 1740830401000000000, 'container:aaaaaaaaaaaa0000000000000000000000000000000000000000000000000000', 'web1', 'p1', '1.1', 'Debian', 'pkg:x/p1@1.1', 0, 2, '{"stream":{"id":11512908961858157445,"name":"/var/log/auth.log","plugin":"source-file","format":"syslog","time_zone":"Europe/Berlin","provenance":1},"sequence":1,"image":"sha256:00","arch":"amd64","state":"half-installed","licenses":["MIT"],"locations":["/a","/b"],"findings":[{"id":"GHSA-0","aliases":["CVE-2026-1"],"severity":2,"score":7.5,"fixed":"2","kev":true,"epss":0.5,"status":"affected"}],"omitted":1}');
INSERT INTO packages VALUES (3, '11b63e7dc597ad930683281f142836eb', 1740830402000000000, 'host', '', 'p2', '1.2', 'npm', 'pkg:x/p2@1.2', 0, 3, '{"stream":{"id":11512908961858157445,"name":"/var/log/auth.log","plugin":"source-file","format":"syslog","time_zone":"Europe/Berlin","provenance":1},"sequence":2,"arch":"amd64","state":"half-installed","licenses":["MIT"],"locations":["/a","/b"],"findings":[{"id":"GHSA-0","aliases":["CVE-2026-2"],"severity":2,"score":7.5,"fixed":"2","kev":true,"epss":0.5,"status":"affected"},{"id":"GHSA-1","aliases":["CVE-2026-2"],"severity":3,"score":7.5,"fixed":"2","kev":true,"epss":0.5,"status":"affected"}],"omitted":2}');
INSERT INTO packages VALUES (4, 'b0c3df16d12f2eeddc6100d578d62f42', 1740830403000000000, 'container:aaaaaaaaaaaa0000000000000000000000000000000000000000000000000000', 'web1', 'p3', '1.3', 'Debian', 'pkg:x/p3@1.3', 1, 0, '{"stream":{"id":11512908961858157445,"name":"/var/log/auth.log","plugin":"source-file","format":"syslog","time_zone":"Europe/Berlin","provenance":1},"sequence":3,"image":"sha256:00","arch":"amd64","state":"half-installed","licenses":["MIT"],"locations":["/a","/b"],"omitted":3}');
INSERT INTO packages VALUES (5, '036327c4d96aca02e4a077c09a09a7f4', 1740830404000000000, 'host', '', 'p4', '1.4', 'npm', 'pkg:x/p4@1.4', 0, 2, '{"stream":{"id":11512908961858157445,"name":"/var/log/auth.log","plugin":"source-file","format":"syslog","time_zone":"Europe/Berlin","provenance":1},"sequence":4,"arch":"amd64","state":"half-installed","licenses":["MIT"],"locations":["/a","/b"],"findings":[{"id":"GHSA-0","aliases":["CVE-2026-4"],"severity":2,"score":7.5,"fixed":"2","kev":true,"epss":0.5,"status":"affected"}],"omitted":4}');
INSERT INTO packages VALUES (6, 'd81886aaeb90a249747625c503980e9c', 1740830405000000000, 'container:aaaaaaaaaaaa0000000000000000000000000000000000000000000000000000', 'web1', 'p0', '1.5', 'Debian', 'pkg:x/p0@1.5', 0, 3, '{"stream":{"id":11512908961858157445,"name":"/var/log/auth.log","plugin":"source-file","format":"syslog","time_zone":"Europe/Berlin","provenance":1},"sequence":5,"image":"sha256:00","arch":"amd64","state":"half-installed","licenses":["MIT"],"locations":["/a","/b"],"findings":[{"id":"GHSA-0","aliases":["CVE-2026-5"],"severity":2,"score":7.5,"fixed":"2","kev":true,"epss":0.5,"status":"affected"},{"id":"GHSA-1","aliases":["CVE-2026-5"],"severity":3,"score":7.5,"fixed":"2","kev":true,"epss":0.5,"status":"affected"}],"omitted":5}');
INSERT INTO advisories VALUES ('CVE-2026-1', 2);
INSERT INTO advisories VALUES ('GHSA-0', 2);
INSERT INTO advisories VALUES ('CVE-2026-2', 3);
INSERT INTO advisories VALUES ('GHSA-0', 3);
INSERT INTO advisories VALUES ('GHSA-1', 3);
INSERT INTO advisories VALUES ('CVE-2026-4', 5);
INSERT INTO advisories VALUES ('GHSA-0', 5);
INSERT INTO advisories VALUES ('CVE-2026-5', 6);
INSERT INTO advisories VALUES ('GHSA-0', 6);
INSERT INTO advisories VALUES ('GHSA-1', 6);
