//! `self-update-peer MANIFEST PROGRAM`: brings a program up to date as the crate `self_update` does it.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let (manifest, program) = words.next().zip(words.next()).ok_or("usage: self-update-peer MANIFEST PROGRAM")?;
    let mut updater = self_update::backends::manifest::Update::configure();
    updater.manifest_url(manifest).bin_name("app").bin_install_path(program).current_version("0.0.1");
    updater.no_confirm(true).show_output(false).verify_release_digest(true);
    let status = updater.build()?.update()?;
    if status.is_updated() { Ok(()) } else { Err("there was nothing new".into()) }
}
