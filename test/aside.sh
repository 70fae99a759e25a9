# Work beside other work, to be sourced by a script that has a directory $logs.
# aside NAME COMMAND…: runs it with its output in a file; in the background, ended by TERM together with what it runs.
# told NAME: shows that output and returns the status. It is kept in a file too: bash forgets that of a background job
# when its process number comes round again.
aside() {
  local name=$1; shift
  trap 'kill -- -$! 2>/dev/null || kill $! 2>/dev/null' TERM # with all its group, where it leads one
  "$@" > "$logs/$name" 2>&1 &
  local ended=0; wait $! || ended=$?
  if [ -d "$logs" ]; then echo "$ended" > "$logs/$name.status"; fi
}
# spare NICE COMMAND…, for `aside`: runs it on what others leave of the processors. The kernel shares them alike among
# sessions, whatever nice says within one: this gets a session of its own, which comes last.
spare() { exec setsid bash -c '{ echo 19 > /proc/self/autogroup; } 2>/dev/null; exec nice -n "$@"' spare "$@"; }
told() { cat "$logs/$1"; return "$(cat "$logs/$1.status")"; }
