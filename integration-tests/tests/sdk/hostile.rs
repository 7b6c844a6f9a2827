//! Mounted code came from a language model: no component evaluates it, whatever it says and whatever is
//! asked of them. Evaluating this one would leave a file, and do no harm.

use std::{fs, path::Path};

use langop_integration_tests::{FakeLlm, Reply, control_plane::ports, programs};
use serde_json::json;
use tokio::process::Command;

use super::ruby::{Gem, mount, run};

fn code(marker: &Path) -> String {
    let marker = marker.display();
    format!(
        "BEGIN {{ File.write('{marker}', 'BEGIN') }}\n`touch {marker}`\nsystem('touch {marker}')\n\
         require 'language_operator'\nagent 'a' do\n  objectives [\"#{{File.write('{marker}', 'x')}}\"]\nend\n\
         END {{ File.write('{marker}', 'END') }}\n"
    )
}

#[tokio::test]
async fn it_is_never_evaluated() {
    let gem = Gem::installed().await;
    let model = FakeLlm::start().await.unwrap();
    model.reply_with(|_| Reply::Text("done".to_owned()));
    let folder = tempfile::tempdir().unwrap();
    let marker = folder.path().join("marker");
    let definition = json!({"name": "a", "objectives": ["Be of help"], "constraints": {}});
    let path = mount(folder.path(), &code(&marker), &definition);
    let reference = programs::locate("langop-agent").unwrap();
    let ruby = gem.program("langop-agent-ruby");
    let load = "require 'langop'; Langop::Dsl.load(ENV.fetch('AGENT_CODE_PATH'))";
    for (program, arguments, code) in [
        // The reference runtime's parser refuses it; the SDK runs the definition beside it.
        (&*reference, vec!["run"], 3),
        (&*reference, vec!["check"], 3),
        (&*ruby, vec!["run"], 0),
        (&*ruby, vec!["check"], 0),
        (&*ruby, vec!["chat"], 0),
        (Path::new("ruby"), vec!["-e", load], 1),
    ] {
        let [port] = ports::free().unwrap();
        let models = json!([{"name": "m", "url": model.endpoint()}]);
        let mut command = Command::new(program);
        command
            .args(&arguments)
            .env_clear()
            .envs(gem.variables())
            .envs([("AGENT_NAME", "a"), ("LANGOP_TERMINATION_LOG", "/dev/null")])
            .env("AGENT_CODE_PATH", &path)
            .env("MODEL_ENDPOINTS", models.to_string())
            .env("PORT", port.to_string())
            .stdin(std::process::Stdio::null());
        let said = run(&mut command).await;
        assert_eq!(
            said.code,
            Some(code),
            "{program:?} {arguments:?}: {}",
            said.text
        );
        assert!(
            !marker.exists(),
            "{program:?} {arguments:?}: {:?}",
            fs::read(&marker)
        );
    }
    // And it would have left the file.
    run(gem.command("ruby").arg(&path)).await;
    assert!(marker.exists());
}
