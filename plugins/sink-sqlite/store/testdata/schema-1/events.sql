PRAGMA user_version = 1;
CREATE TABLE streams (
	id INTEGER PRIMARY KEY,
	doc TEXT NOT NULL
) STRICT;
CREATE TABLE logs (
	seq INTEGER PRIMARY KEY,
	stream INTEGER NOT NULL,
	sequence INTEGER NOT NULL,
	time INTEGER NOT NULL,
	observed INTEGER NOT NULL,
	severity INTEGER NOT NULL,
	flags INTEGER NOT NULL,
	host TEXT NOT NULL,
	process TEXT NOT NULL,
	pid INTEGER NOT NULL,
	message TEXT NOT NULL,
	fields TEXT NOT NULL,
	raw BLOB,
	reason TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX logs_id ON logs (stream, sequence);
CREATE INDEX logs_time ON logs (time);
CREATE TABLE packets (
	seq INTEGER PRIMARY KEY,
	stream INTEGER NOT NULL,
	sequence INTEGER NOT NULL,
	time INTEGER NOT NULL,
	doc TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX packets_id ON packets (stream, sequence);
CREATE INDEX packets_time ON packets (time);
INSERT INTO streams VALUES (-6933835111851394171, '{"id":11512908961858157445,"name":"/var/log/auth.log","plugin":"source-file","format":"syslog","time_zone":"Europe/Berlin","provenance":1}');
INSERT INTO logs VALUES (1, -6933835111851394171, 0, 1740830400000000000, 1740830400000000000, 1, 1, 'web1', 'sshd', 4711, 'Failed password for root from 203.0.113.0', '[["src_ip","203.0.113.0"],["user","root"]]', NULL, '');
INSERT INTO logs VALUES (2, -6933835111851394171, 1, 1740830401000000000, 1740830400000000000, 1, 1, 'web1', 'sshd', 4711, 'Failed password for root from 203.0.113.1', '[["src_ip","203.0.113.1"],["user","root"]]', NULL, '');
INSERT INTO logs VALUES (3, -6933835111851394171, 2, 1740830402000000000, 1740830400000000000, 1, 1, 'web1', 'sshd', 4711, 'Failed password for root from 203.0.113.2', '[["src_ip","203.0.113.2"],["user","root"]]', NULL, '');
INSERT INTO logs VALUES (4, -6933835111851394171, 3, 1740830403000000000, 1740830400000000000, 1, 1, 'web1', 'sshd', 4711, 'Failed password for root from 203.0.113.3', '[["src_ip","203.0.113.3"],["user","root"]]', NULL, '');
INSERT INTO logs VALUES (5, -6933835111851394171, 4, 1740830404000000000, 1740830400000000000, 1, 1, 'web1', 'sshd', 4711, 'Failed password for root from 203.0.113.4', '[["src_ip","203.0.113.4"],["user","root"]]', NULL, '');
INSERT INTO logs VALUES (6, -6933835111851394171, 5, 1740830405000000000, 1740830400000000000, 1, 1, 'web1', 'sshd', 4711, 'Failed password for root from 203.0.113.5', '[["src_ip","203.0.113.5"],["user","root"]]', NULL, '');
INSERT INTO packets VALUES (1, -6933835111851394171, 0, 1740830400000000000, '{"interval":250000000,"interface":"eth0","scope":1,"source":"2001:db8::7","destination":"192.0.2.1","destination_port":22,"packets":1,"bytes":2,"syn":3,"syn_ack":4,"ack":5,"fin":6,"rst":7,"odd":8,"udp":9,"icmp":10,"echo":16,"reflected":17,"service":18,"odd_kinds":19,"other":11,"dropped":12,"would_drop":13,"ports":14,"peers":15,"port_sample":[22,80]}');
INSERT INTO packets VALUES (2, -6933835111851394171, 1, 1740830401000000000, '{"interval":250000000,"interface":"eth0","scope":1,"source":"2001:db8::7","destination":"192.0.2.1","destination_port":22,"packets":1,"bytes":2,"syn":3,"syn_ack":4,"ack":5,"fin":6,"rst":7,"odd":8,"udp":9,"icmp":10,"echo":16,"reflected":17,"service":18,"odd_kinds":19,"other":11,"dropped":12,"would_drop":13,"ports":14,"peers":15,"port_sample":[22,80]}');
INSERT INTO packets VALUES (3, -6933835111851394171, 2, 1740830402000000000, '{"interval":250000000,"interface":"eth0","scope":1,"source":"2001:db8::7","destination":"192.0.2.1","destination_port":22,"packets":1,"bytes":2,"syn":3,"syn_ack":4,"ack":5,"fin":6,"rst":7,"odd":8,"udp":9,"icmp":10,"echo":16,"reflected":17,"service":18,"odd_kinds":19,"other":11,"dropped":12,"would_drop":13,"ports":14,"peers":15,"port_sample":[22,80]}');
INSERT INTO packets VALUES (4, -6933835111851394171, 3, 1740830403000000000, '{"interval":250000000,"interface":"eth0","scope":1,"source":"2001:db8::7","destination":"192.0.2.1","destination_port":22,"packets":1,"bytes":2,"syn":3,"syn_ack":4,"ack":5,"fin":6,"rst":7,"odd":8,"udp":9,"icmp":10,"echo":16,"reflected":17,"service":18,"odd_kinds":19,"other":11,"dropped":12,"would_drop":13,"ports":14,"peers":15,"port_sample":[22,80]}');
INSERT INTO packets VALUES (5, -6933835111851394171, 4, 1740830404000000000, '{"interval":250000000,"interface":"eth0","scope":1,"source":"2001:db8::7","destination":"192.0.2.1","destination_port":22,"packets":1,"bytes":2,"syn":3,"syn_ack":4,"ack":5,"fin":6,"rst":7,"odd":8,"udp":9,"icmp":10,"echo":16,"reflected":17,"service":18,"odd_kinds":19,"other":11,"dropped":12,"would_drop":13,"ports":14,"peers":15,"port_sample":[22,80]}');
INSERT INTO packets VALUES (6, -6933835111851394171, 5, 1740830405000000000, '{"interval":250000000,"interface":"eth0","scope":1,"source":"2001:db8::7","destination":"192.0.2.1","destination_port":22,"packets":1,"bytes":2,"syn":3,"syn_ack":4,"ack":5,"fin":6,"rst":7,"odd":8,"udp":9,"icmp":10,"echo":16,"reflected":17,"service":18,"odd_kinds":19,"other":11,"dropped":12,"would_drop":13,"ports":14,"peers":15,"port_sample":[22,80]}');
