//! `vhive setup`: nodes and clusters; the same as `setup_tool`.

use setup::cli::{Setup, VHIVE_SETUP, run as set_up};

use crate::exit::{Code, Failure, Outcome};

pub(crate) async fn run(args: &Setup) -> Outcome {
    let args = args.clone();
    let ended = tokio::task::spawn_blocking(move || set_up(&args, VHIVE_SETUP)).await?;
    ended.map_err(|error| {
        let code = if error.code() == 2 {
            Code::Usage
        } else {
            Code::Failed
        };
        let hint = error.hint();
        let failure = Failure::new(code, error);
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    })
}
