//! `vhive kernel`: guest kernels in the data directory.

use vmm::kernel::{KernelStore, Source};

use crate::cli::{Global, Kernel};
use crate::exit::{Code, Failure, Outcome};
use crate::output;

pub(crate) async fn run(global: &Global, command: &Kernel) -> Outcome {
    let store = KernelStore::open(&global.data_dir.join("kernels"))?;
    match command {
        Kernel::Fetch => import(store, Source::Distribution).await,
        Kernel::Import { host: true, .. } => import(store, Source::Host).await,
        Kernel::Import {
            vmlinuz: Some(vmlinuz),
            modules: Some(modules),
            ..
        } => {
            import(
                store,
                Source::Files {
                    vmlinuz: vmlinuz.clone(),
                    modules: modules.clone(),
                },
            )
            .await
        }
        Kernel::Import { debs, .. } => import(store, Source::Deb(debs.clone())).await,
        Kernel::Ls => {
            let rows = store
                .list()?
                .into_iter()
                .map(|kernel| [kernel.release, kernel.digest]);
            output::say(output::table(["RELEASE", "DIGEST"], rows))?;
            Ok(())
        }
        Kernel::Rm { release } => {
            store.remove(release).map_err(|error| {
                let code = match error {
                    vmm::kernel::Error::NoSuchKernel { .. } => Code::NotFound,
                    _ => Code::Failed,
                };
                Failure::new(code, error)
            })?;
            output::say(format_args!("kernel {release} removed"))?;
            Ok(())
        }
    }
}

async fn import(store: KernelStore, source: Source) -> Outcome {
    let kernel =
        tokio::task::spawn_blocking(move || store.import(source, &|step| eprintln!("{step}")))
            .await??;
    output::say(format_args!("kernel {} is ready", kernel.release))?;
    Ok(())
}
