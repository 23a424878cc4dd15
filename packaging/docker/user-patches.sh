#!/bin/bash
# docker-mailserver with f2bpipe in fail2ban's place: this file and the binary of
# the archive go to docker-data/dms/config/, compose.inside.yaml is the rest.
install -m 755 /tmp/docker-mailserver/f2bpipe /usr/bin/fail2ban-server
ln -sf fail2ban-server /usr/bin/fail2ban-client
