//! A machine whose time of day is wrong, on a machine whose time of day is right.
//!
//! No test sets the clock of the machine that it runs on. So the programs of one scripted machine are given a small library in
//! front of the system's, which says another time of day: a real process with a real clock that is wrong, as far as it can tell.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::machines::Site;

/// What stands in front of the system's function. Only the time of day is another: timers, and the clock that never goes back,
/// are those of the system.
const SOURCE: &str = r#"
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *ahead;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("CLOCK_AHEAD");
    int file = path ? open(path, O_RDONLY) : -1;
    if (file < 0) return;
    void *at = mmap(0, sizeof *ahead, PROT_READ, MAP_SHARED, file, 0);
    if (at != MAP_FAILED) ahead = at;
    close(file);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = (int)syscall(SYS_clock_gettime, clock, now);
    if (!failed && clock == CLOCK_REALTIME && ahead) now->tv_sec += *ahead;
    return failed;
}
"#;

/// What plays `chronyc makestep`: the clock of this machine is right from now on.
const CHRONYC: &str = "#!/bin/sh\n[ \"$*\" = makestep ] || exit 1\n\
                       dd if=/dev/zero of=\"$CLOCK_AHEAD\" bs=8 count=1 conv=notrunc 2>/dev/null && echo '200 OK'\n";

/// Gives a machine a clock that can be wrong, from the next start of its service on. Why not, if there is no C compiler to make it
/// with: Rust links with one, so there mostly is.
pub(crate) fn give(site: &mut Site, name: char) -> Result<(), String> {
    let place = site.path(name, "/run/holdfast");
    let (source, library) = (place.join("clock.c"), place.join("clock.so"));
    fs::write(&source, SOURCE).expect("a file");
    let mut compiler = Command::new("cc");
    compiler.args(["-D_GNU_SOURCE", "-shared", "-fPIC", "-o"]).arg(&library).arg(&source);
    let done = compiler.output().map_err(|error| format!("cc: {error}"))?;
    if !done.status.success() {
        return Err(format!("cc: {}", String::from_utf8_lossy(&done.stderr)));
    }
    let chronyc = site.path(name, "/usr/local/bin/chronyc");
    fs::write(&chronyc, CHRONYC).expect("a file");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&chronyc, mode).expect("it is ours");
    fs::write(ahead(site, name), 0_i64.to_ne_bytes()).expect("a file");
    site.set_environment(name, "LD_PRELOAD", &library.display().to_string());
    site.set_environment(name, "CLOCK_AHEAD", &ahead(site, name).display().to_string());
    Ok(())
}

fn ahead(site: &Site, name: char) -> PathBuf {
    site.path(name, "/run/holdfast/ahead")
}

/// Sets the clock of such a machine so many seconds ahead, at once.
pub(crate) fn set_ahead(site: &Site, name: char, seconds: i64) {
    use std::io::Write as _;
    // In place: whoever has it mapped sees it.
    let mut file = fs::OpenOptions::new().write(true).open(ahead(site, name)).expect("it was given");
    file.write_all(&seconds.to_ne_bytes()).expect("it is ours");
}
