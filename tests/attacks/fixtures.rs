//! The files of the cases, as they lie in the repository.

use std::fs;
use std::path::{Path, PathBuf};

use crate::SECTIONS;
use crate::maker::Maker;
use crate::table::{Files, Play};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/attacks")
}

/// The files of one play.
pub fn read(folder: &str) -> Files {
    let mut files = Files::new();
    let dir = root().join(folder);
    collect(&dir, &dir, &mut files);
    assert!(
        !files.is_empty(),
        "{} holds nothing; `UPDATE_SNAPSHOTS=1 cargo test --test attacks` makes it",
        dir.display()
    );
    files
}

fn collect(root: &Path, dir: &Path, files: &mut Files) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(root, &path, files);
        } else {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            files.insert(name, fs::read(&path).unwrap());
        }
    }
}

/// Each folder holds what its row makes; with `UPDATE_SNAPSHOTS=1` it is made anew.
pub fn check() {
    let (maker, update) = (Maker::new(), std::env::var_os("UPDATE_SNAPSHOTS").is_some());
    for case in SECTIONS.iter().flat_map(|(_, cases)| cases.iter()) {
        for play in case.plays {
            let Play::Serve { variant, make, .. } = play else { continue };
            let (folder, made) = (case.folder(variant), make(&maker));
            let dir = root().join(&folder);
            if update {
                let _ = fs::remove_dir_all(&dir);
                for (name, bytes) in &made {
                    let path = dir.join(name);
                    fs::create_dir_all(path.parent().unwrap()).unwrap();
                    fs::write(path, bytes).unwrap();
                }
            }
            let there = read(&folder);
            assert!(there.keys().eq(made.keys()), "{folder}: {:?}", there.keys().collect::<Vec<_>>());
            for (name, bytes) in &made {
                assert!(there[name] == *bytes, "{folder}/{name} is not what the table makes");
            }
        }
    }
}
