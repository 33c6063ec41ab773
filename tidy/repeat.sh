# For `check`: runs tests many times over, and tells those that always fail from those that sometimes do. Sourced by it.
#
# Why not a loop around `cargo test`: nobody reads fifty outputs, a test that fails in two of them has to be named, with its seed and
# what it printed, and a round in which something was built anew is a round of another program.

# Where the outputs of rounds are kept that failed. Emptied by the next run.
REPEAT_DIR="${CARGO_TARGET_DIR:-target}/repeat"

# The list of tests that are known to fail now and then, how often each is run, and how often it may fail then.
FLAKY_LIST=flaky.txt
FLAKY_ROUNDS=20
FLAKY_FAILURES=1
# How long an entry may stand, in days.
FLAKY_DAYS=30

repeat_usage() {
  echo "usage: ./check --repeat N [--load K] [arguments of cargo test…]" >&2
  echo "  e.g. ./check --repeat 50 --load 2 -p holdfast-server --test http readiness" >&2
  exit 2
}

# What a round came to: a line for each test with program, name, ok or FAILED, where its output begins, the line with its seed.
# A test is FAILED as well if only the list at the end says so, since other processes write into the same output.
parse_round() {
  awk -v status="$2" '
    function program(path) { sub(/^.*\//, "", path); sub(/ .*$/, "", path); sub(/-[0-9a-f]+$/, "", path); return path }
    function note(name, result) {
      sub(/ - should panic( with .*)?$/, "", name)
      key = binary "\t" name
      if (!(key in results)) order[++count] = key
      if (results[key] != "FAILED") results[key] = result
    }
    /^ +Running .*\(.*\)$/ { path = $0; sub(/^.*\(/, "", path); sub(/\)$/, "", path); binary = program(path) }
    /^ +Doc-tests / { binary = $2 "(doc)" }
    /^test .* \.\.\. (ok|FAILED)$/ { name = $0; sub(/^test /, "", name); result = $NF; sub(/ \.\.\. (ok|FAILED)$/, "", name); note(name, result) }
    /^---- .* stdout ----$/ { about = $0; sub(/^---- /, "", about); sub(/ stdout ----$/, "", about); at[binary "\t" about] = NR }
    /^failures:$/ { about = ""; listing = 1; listed = 0; next }
    about != "" && tolower($0) ~ /seed/ && !((binary "\t" about) in seed) { line = $0; gsub(/\t/, " ", line); seed[binary "\t" about] = line }
    listing && /^    [^ ]+$/ { names[++listed] = $1; next }
    listing && /^$/ { next }
    /^test result: FAILED/ { if (listing) for (i = 1; i <= listed; i++) note(names[i], "FAILED") }
    { listing = 0 }
    # A program that was killed, or that aborted, names no test.
    /didn.t exit successfully: `/ && !/exit status: 101\)/ {
      path = $0; sub(/^.*didn.t exit successfully: `/, "", path); why = $0; sub(/^.*` /, "", why)
      sub(/`.*$/, "", path); binary = program(path); note("the program itself " why, "FAILED")
    }
    END {
      for (i = 1; i <= count; i++) if (results[order[i]] == "FAILED") failed = 1
      if (status != 0 && !failed) { binary = "cargo"; note("cargo itself (exit code " status ")", "FAILED"); at[order[count]] = 1 }
      for (i = 1; i <= count; i++) { key = order[i]; print key "\t" results[key] "\t" at[key] + 0 "\t" seed[key] }
    }
  ' "$1"
}

# What all rounds came to. Fails if a test did not pass all of them, or if there was none.
report_rounds() {
  awk -F '\t' -v rounds="$2" -v dir="$REPEAT_DIR" '
    {
      key = $2 ": " $3
      if (!(key in passed)) { order[++count] = key; passed[key] = 0; failed[key] = 0 }
      if ($4 == "ok") { passed[key]++; next }
      failed[key]++
      numbers[key] = numbers[key] (numbers[key] == "" ? "" : ", ") $1
      if (failed[key] == 1) { first[key] = dir "/round-" $1 ".log" ($5 > 0 ? ":" $5 : "") }
      if (seed[key] == "") seed[key] = $6
    }
    END {
      for (i = 1; i <= count; i++) {
        key = order[i]
        if (passed[key] == rounds) { good++; continue }
        bad++
        # Of a program that ended otherwise there is no word in the other rounds.
        itself = key ~ /: (the program|cargo) itself /
        missing = itself ? 0 : rounds - passed[key] - failed[key]
        never = itself ? failed[key] == rounds : passed[key] == 0 && failed[key] > 0
        verdict = never ? "deterministic failure" : "NONDETERMINISTIC"
        printf "%s  %s\n", verdict, key
        printf "    failed %d of %d", failed[key], rounds
        if (missing > 0) printf ", did not come to its end in %d", missing
        if (numbers[key] != "") printf " (rounds %s)", numbers[key]
        print ""
        if (seed[key] != "") { sub(/^ +/, "", seed[key]); print "    " seed[key] }
        if (first[key] != "") print "    output  " first[key]
      }
      printf "repeat: %d of %d tests passed all %d rounds\n", good, count, rounds
      if (count == 0) print "repeat: no test has run: is the filter right?"
      exit bad > 0 || count == 0
    }
  ' "$1"
}

# Runs `cargo test` with these arguments so many times: repeat_tests ROUNDS LOAD ARGUMENT…
repeat_tests() {
  local rounds=$1 load=$2 round status failures
  shift 2
  rm -rf "$REPEAT_DIR"
  mkdir -p "$REPEAT_DIR"
  local results="$REPEAT_DIR/results.tsv" log
  : >"$results"
  local build=()
  for argument in "$@"; do
    [ "$argument" = -- ] && break
    build+=("$argument")
  done
  echo "repeat: building"
  if ! cargo test --locked --no-run "${build[@]}" >"$REPEAT_DIR/build.log" 2>&1; then
    cat "$REPEAT_DIR/build.log"
    return 1
  fi
  start_load "$load"
  for ((round = 1; round <= rounds; round++)); do
    log="$REPEAT_DIR/round-$round.log"
    status=0
    cargo test --locked --no-fail-fast "$@" >"$log" 2>&1 </dev/null || status=$?
    if grep -q '^ *Compiling ' "$log"; then
      echo "repeat: something was built in round $round, so it is another program: the sources have changed"
      end_load
      return 1
    fi
    parse_round "$log" "$status" | sed "s/^/$round\t/" >>"$results"
    failures=$(awk -F '\t' -v round="$round" '$1 == round && $4 == "FAILED"' "$results" | wc -l)
    if [ "$failures" -eq 0 ]; then
      rm "$log"
    else
      echo "repeat: round $round of $rounds: $failures failed"
    fi
  done
  end_load
  report_rounds "$results" "$rounds"
}

# Loops that do nothing, so that tests meet a machine that is busy. Ended with this script, however it ends.
load_pids=()
start_load() {
  local loop turn
  for ((loop = 0; loop < $1; loop++)); do
    # Looks now and then whether this script still runs: nobody ends a loop whose script was killed.
    while kill -0 $$; do for ((turn = 0; turn < 100000; turn++)); do :; done; done </dev/null >/dev/null 2>&1 3>&- &
    load_pids+=($!)
  done
}
end_load() {
  if [ "${#load_pids[@]}" -gt 0 ]; then
    kill "${load_pids[@]}" 2>/dev/null
    wait "${load_pids[@]}" 2>/dev/null
  fi
  load_pids=()
}

# ./check --repeat N [--load K] ARGUMENT…
repeat_main() {
  local rounds=${1:-} load=0
  shift || repeat_usage
  [[ $rounds =~ ^[1-9][0-9]{0,4}$ ]] || repeat_usage
  if [ "${1:-}" = --load ]; then
    load=${2:-}
    [[ $load =~ ^[0-9]{1,3}$ ]] || repeat_usage
    shift 2
  fi
  trap end_load EXIT
  trap 'exit 130' INT TERM
  repeat_tests "$rounds" "$load" "$@"
}

# The gate for the tests of the list: each still exists, its time is not over, and it does not fail more often than it may. Whatever
# is wrong with the list fails as well. The day is that of the commit, so that what was green stays so.
run_flaky() {
  local number=0 wrong=0 seen=" " today line until since package target test why latest key out count
  if ! grep -qEv '^[[:space:]]*(#|$)' "$FLAKY_LIST"; then
    [ -r "$FLAKY_LIST" ] || { echo "$FLAKY_LIST is not there"; return 1; }
    return 0
  fi
  today=$(git log -1 --format=%cs) || { echo "the day of the commit is not known"; return 1; }
  while IFS= read -r line; do
    number=$((number + 1))
    [[ $line =~ ^[[:space:]]*(#|$) ]] && continue
    read -r since until package target test why <<<"$line"
    key="$package/$target/$test"
    complain() { echo "$FLAKY_LIST:$number: $1"; wrong=1; }
    if [[ ! $since =~ ^[0-9]{4}-[0-9]{2}-[0-9]{2}$ || ! $until =~ ^[0-9]{4}-[0-9]{2}-[0-9]{2}$ || -z $why ]] ||
      ! latest=$(date -u -d "$since + $FLAKY_DAYS days" +%F 2>/dev/null); then
      complain "expected SINCE UNTIL PACKAGE TARGET TEST WHY, the days as 2026-11-22"
      continue
    fi
    if [[ $seen == *" $key "* ]]; then complain "$test stands here twice"; continue; fi
    seen+="$key "
    if [[ $until > $latest ]]; then complain "$test: an entry stands for $FLAKY_DAYS days at most, here until $latest"; continue; fi
    if [[ $today > $until ]]; then complain "$test: its time was over on $until: mend it, or delete it and what it tests"; continue; fi
    local arguments=(-p "$package")
    # A target is `lib`, or the name of a file of tests.
    if [ "$target" = lib ]; then arguments+=(--lib); else arguments+=(--test "$target"); fi
    if ! out=$(cargo test --locked --quiet "${arguments[@]}" -- --exact --list "$test" 2>&1) || ! grep -qxF "$test: test" <<<"$out"; then
      complain "there is no test $test in $package $target any more"
      continue
    fi
    out=$(repeat_tests "$FLAKY_ROUNDS" 0 "${arguments[@]}" -- --exact "$test")
    count=$(awk -F '\t' '$4 == "ok"' "$REPEAT_DIR/results.tsv" | wc -l)
    if [ $((FLAKY_ROUNDS - count)) -gt "$FLAKY_FAILURES" ]; then
      echo "$out"
      complain "$test passed $count of $FLAKY_ROUNDS rounds, and may fail $FLAKY_FAILURES of them"
    else
      echo "$test passed $count of $FLAKY_ROUNDS rounds, until $until" >&3
    fi
  done <"$FLAKY_LIST"
  return "$wrong"
}
