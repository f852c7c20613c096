# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# For tests that run QEMU with the memory of a device. They source this after lib.sh. A guest takes
# commands by its second serial port; bare.c and nested-init.c are the programs that answer.

declare -A qemu reader

# memory ID OFFSET SIZE [OPTION...]: the option for QEMU that makes memory of a part of the device. The
# option size= must not reach beyond the device.
memory()
{
	local id=$1 offset=$2 size=$3
	shift 3
	echo "memory-backend-file,id=$id,mem-path=$NODE,offset=$(bytes "$offset"),size=$size,share=on$(printf ',%s' "$@")"
}

# How QEMU runs the guest's processor.
accel=(-accel tcg -cpu qemu64)
# The kernel and what belongs to it, as options of QEMU.
kernel=(-kernel bare)

# start NAME SIZE OPTION...: start a guest with SIZE of RAM, which is the memory object "ram"
start()
{
	local name=$1 size=$2 in out
	shift 2
	rm -f "$TMP/$name".*
	mkfifo "$TMP/$name".{port,monitor}.{in,out}
	qemu-system-x86_64 "${accel[@]}" -machine pc,nvdimm=on,memory-backend=ram \
		-m "$size,slots=2,maxmem=4G" -nodefaults -no-user-config -display none -no-reboot "${kernel[@]}" \
		-chardev "file,id=console,path=$TMP/$name.console" -serial chardev:console \
		-chardev "pipe,id=port,path=$TMP/$name.port" -serial chardev:port \
		-chardev "pipe,id=monitor,path=$TMP/$name.monitor" -mon monitor \
		"$@" >"$TMP/$name.log" 2>&1 &
	qemu[$name]=$!
	# QEMU opens both ends, so this does not wait.
	exec {in}<>"$TMP/$name.port.in" {out}<>"$TMP/$name.port.out"
	in_of[$name]=$in out_of[$name]=$out
	cat <>"$TMP/$name.monitor.out" >"$TMP/$name.said" &
	reader[$name]=$!
}

# up NAME: wait until the guest is up
up()
{
	local line i
	for ((i = 0; i < 30 * PACE; i++)); do
		read -rt 10 line <&"${out_of[$1]}" && [[ $line = ready* ]] && return
		if ! kill -0 "${qemu[$1]}" 2>/dev/null; then
			echo "QEMU ended: $(tail -n 5 "$TMP/$1.log")"
			return 1
		fi
	done
	echo "it does not answer: $(tail -n 20 "$TMP/$1.console")"
	return 1
}

# guest NAME COMMAND...: give the guest a command, and print its answer
guest()
{
	local name=$1 reply
	shift
	echo "$*" >&"${in_of[$name]}"
	if read -rt $((60 * PACE)) reply <&"${out_of[$name]}"; then echo "${reply%$'\r'}"; else echo "no answer"; fi
}

# monitor NAME COMMAND...: give QEMU a command
monitor() { local name=$1; shift; echo "$*" >"$TMP/$name.monitor.in"; }

# save NAME FILE: save the guest without its RAM to FILE; QEMU ends
save()
{
	local i
	monitor "$1" "migrate_set_capability x-ignore-shared on"
	monitor "$1" "migrate -d file:$2"
	for ((i = 0; i < 120 * PACE; i++)); do
		monitor "$1" "info migrate"
		sleep 0.5
		! grep -qE 'Status: *completed|status: completed' "$TMP/$1.said" || break
	done
	[ $i != $((120 * PACE)) ] || { tail -n 20 "$TMP/$1.said"; return 1; }
	monitor "$1" quit
	gone "$1"
}

# restore NAME FILE: let a guest that was started with "-incoming defer" go on from FILE
restore()
{
	monitor "$1" "migrate_set_capability x-ignore-shared on"
	monitor "$1" "migrate_incoming file:$2"
	# Until then, nothing that is sent to a port of the guest arrives.
	while kill -0 "${qemu[$1]}" 2>/dev/null && ! grep -q 'VM status: running' "$TMP/$1.said"; do
		monitor "$1" "info status"
		sleep 0.5
	done
}

# gone NAME [SECONDS]: wait until QEMU has ended by itself, and close what belongs to it
gone()
{
	local in=${in_of[$1]} out=${out_of[$1]} tenths=$((${2:-60} * 10 * PACE)) i
	for ((i = 0; i < tenths; i++)); do
		kill -0 "${qemu[$1]}" 2>/dev/null || break
		sleep 0.1
	done
	! kill -KILL "${qemu[$1]}" 2>/dev/null || echo "it had to be killed"
	# bash does not report this signal.
	kill -PIPE "${reader[$1]}"
	wait "${qemu[$1]}" "${reader[$1]}" 2>/dev/null
	exec {in}>&- {out}<&-
	[ $i != $tenths ]
}

# end NAME: let the guest end, and QEMU with it
end() { guest "$1" off >/dev/null; gone "$1"; }

# text OFFSET: the text in the device there
text()
{
	python3 - "$NODE" "$(($1))" "$(cat "$SYS/align")" <<-'EOF'
		import mmap, os, sys
		file, offset, align = os.open(sys.argv[1], os.O_RDONLY), int(sys.argv[2]), int(sys.argv[3])
		start = offset // align * align
		with mmap.mmap(file, align, mmap.MAP_SHARED, mmap.PROT_READ, offset=start) as m:
		    print(m[offset - start:offset - start + 64].split(b"\0")[0].decode(errors="replace"))
	EOF
}

# entries NAME: the sizes of the page table entries that map the device, in kB, from smaps
entries()
{
	awk -v node="$NODE" '/^[0-9a-f]+-/ { here = $NF == node } here && /^KernelPageSize:/ { print $2 }' \
		"/proc/${qemu[$1]}/smaps" | sort -un | xargs
}

# refused DESCRIPTION PATTERN OPTION: QEMU must refuse to make this memory
refused()
{
	refuse "$1" "$2" timeout $((60 * PACE)) qemu-system-x86_64 -accel tcg -machine none -nodefaults -display none \
		-no-user-config -object "$3"
}

# ---- memory that fails ----

can_fail()
{
	modprobe hwpoison_inject || bail_out "there is no hwpoison_inject"
	on_exit "rmmod hwpoison_inject"
}

hex() { printf '0x%x' $(($1)); }

# fails OFFSET: let memory of the device fail there; print "ok" or the name of the errno
fails() { result /sys/kernel/debug/hwpoison/corrupt-pfn "$(hex "($(cat "$SYS/resource") + $1) >> 12")"; }
