# Work beside other work, to be sourced by a script that has a directory $logs.
# aside NAME COMMAND…: runs it with its output in a file; in the background, ended by TERM together with what it runs.
# told NAME: shows that output and returns the status. It is kept in a file too: bash forgets that of a background job
# when its process number comes round again.
aside() {
  local name=$1; shift
  trap 'kill $! 2>/dev/null' TERM
  "$@" > "$logs/$name" 2>&1 &
  local ended=0; wait $! || ended=$?
  if [ -d "$logs" ]; then echo "$ended" > "$logs/$name.status"; fi
}
told() { cat "$logs/$1"; return "$(cat "$logs/$1.status")"; }
