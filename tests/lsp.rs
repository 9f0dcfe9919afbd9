//! The language server as an editor sees it.
#![cfg(feature = "lsp")]
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use std::{fs, path::Path, thread};

use lsp_server::{Connection, Message, Notification, Request, RequestId};
use lsp_types::{PublishDiagnosticsParams, Uri};
use meshproof::{Choice, lsp};
use serde_json::{Value, json};

const GOOD: &str = "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: shop}
spec:
  hosts: [web]
  http:
  - timeout: 3s
    route:
    - destination: {host: web}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{name: http, port: 80}]}
";

/// An editor with a folder.
struct Editor {
    connection: Connection,
    next: i32,
}

impl Editor {
    fn open(folder: &Path) -> Self {
        let (server, connection) = Connection::memory();
        thread::spawn(move || lsp::serve(&server, Choice::default()).unwrap());
        let mut editor = Self { connection, next: 0 };
        let answer = editor.ask("initialize", json!({"capabilities": {}, "rootUri": address(folder)}));
        assert_eq!(answer["capabilities"]["hoverProvider"], json!(true));
        editor.tell("initialized", json!({}));
        editor
    }

    fn tell(&self, method: &str, params: Value) {
        let told = Notification { method: method.to_owned(), params };
        self.connection.sender.send(Message::Notification(told)).unwrap();
    }

    fn ask(&mut self, method: &str, params: Value) -> Value {
        self.next += 1;
        let id = RequestId::from(self.next);
        let request = Request { id: id.clone(), method: method.to_owned(), params };
        self.connection.sender.send(Message::Request(request)).unwrap();
        loop {
            if let Message::Response(response) = self.connection.receiver.recv().unwrap() {
                assert_eq!(response.id, id);
                return serde_json::to_value(&response).unwrap()["result"].clone();
            }
        }
    }

    /// The next list of diagnostics.
    fn diagnostics(&self) -> PublishDiagnosticsParams {
        loop {
            if let Message::Notification(told) = self.connection.receiver.recv().unwrap() {
                assert_eq!(told.method, "textDocument/publishDiagnostics", "{told:?}");
                return serde_json::from_value(told.params).unwrap();
            }
        }
    }
}

fn address(path: &Path) -> String {
    format!("file://{}", path.display())
}

fn changed(uri: &str, text: &str) -> Value {
    json!({"textDocument": {"uri": uri, "version": 2}, "contentChanges": [{"text": text}]})
}

#[test]
fn a_mistake_shows_while_typing_and_goes_when_it_is_mended() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("lsp-typing");
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("web.yaml");
    fs::write(&file, GOOD).unwrap();
    let uri = address(&file);
    let mut editor = Editor::open(&folder);
    let opened = json!({"textDocument": {"uri": uri, "languageId": "yaml", "version": 1, "text": GOOD}});
    editor.tell("textDocument/didOpen", opened);

    // The field is one slip from `timeout`; nothing is saved.
    editor.tell("textDocument/didChange", changed(&uri, &GOOD.replace("timeout: 3s", "timeuot: 3s")));
    let told = editor.diagnostics();
    assert_eq!(told.uri, uri.parse::<Uri>().unwrap());
    let [diagnostic] = told.diagnostics.as_slice() else { panic!("{:?}", told.diagnostics) };
    let shown = serde_json::to_value(diagnostic).unwrap();
    assert_eq!(shown["code"], "MP0103", "{shown}");
    assert_eq!(shown["range"]["start"], json!({"line": 6, "character": 4}), "{shown}");
    assert!(diagnostic.message.contains("timeout"), "{}", diagnostic.message);

    let there = json!({"line": 6, "character": 6});
    let hover = editor.ask("textDocument/hover", json!({"textDocument": {"uri": uri}, "position": there}));
    assert!(hover["contents"]["value"].as_str().unwrap().contains("**Why:**"), "{hover}");
    let range = json!({"start": there, "end": there});
    let asked = json!({"textDocument": {"uri": uri}, "range": range, "context": {"diagnostics": []}});
    let actions = editor.ask("textDocument/codeAction", asked);
    let edit = &actions[0]["edit"]["changes"][&uri][0];
    assert_eq!(edit["newText"], "  # meshproof: ignore MP0103 reason=\"say why\"\n", "{actions}");

    editor.tell("textDocument/didChange", changed(&uri, GOOD));
    assert_eq!(editor.diagnostics().diagnostics, []);
    editor.ask("shutdown", Value::Null);
    editor.tell("exit", Value::Null);
}

#[test]
fn a_hover_shows_what_a_line_means_for_the_calls_of_the_mesh() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("topologies/bookinfo");
    let file = folder.join("routing.yaml");
    let text = fs::read_to_string(&file).unwrap();
    let line = text.lines().position(|line| line.trim_start().starts_with("timeout: ")).unwrap();
    let mut editor = Editor::open(&folder);
    let asked = json!({"textDocument": {"uri": address(&file)}, "position": {"line": line, "character": 8}});
    let hover = editor.ask("textDocument/hover", asked);
    let shown = hover["contents"]["value"].as_str().unwrap();
    assert!(shown.contains("**In effect:**") && shown.contains("`timeout = ") && shown.contains("→"), "{shown}");
    editor.ask("shutdown", Value::Null);
    editor.tell("exit", Value::Null);
}

#[test]
fn what_is_saved_counts_when_the_editor_lets_go_of_a_file() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("lsp-closing");
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("web.yaml");
    fs::write(&file, GOOD.replace("host: web", "host: wbe")).unwrap();
    let uri = address(&file);
    let mut editor = Editor::open(&folder);
    let saved = editor.diagnostics();
    assert!(!saved.diagnostics.is_empty());
    let opened = json!({"textDocument": {"uri": uri, "languageId": "yaml", "version": 1, "text": GOOD}});
    editor.tell("textDocument/didOpen", opened);
    assert_eq!(editor.diagnostics().diagnostics, []);
    editor.tell("textDocument/didClose", json!({"textDocument": {"uri": uri}}));
    assert_eq!(editor.diagnostics().diagnostics, saved.diagnostics);
    assert_eq!(editor.ask("workspace/symbol", json!({"query": ""})), Value::Null, "not offered");
    editor.ask("shutdown", Value::Null);
    editor.tell("exit", Value::Null);
}
