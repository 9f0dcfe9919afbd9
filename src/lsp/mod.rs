//! The language server: what `verify` finds in a folder, again after each change, before anything is saved.
//!
//! One thread, one folder. Changes that wait in the queue are taken in together, so that a quick typist never waits
//! for more than one judgement.

mod effective;
mod place;
mod workspace;

use lsp_server::{Connection, ErrorCode, Message, Notification, ProtocolError, Request, Response};
use lsp_types::{
    CodeActionParams, CodeActionProviderCapability, DidChangeTextDocumentParams, DidCloseTextDocumentParams,
    DidOpenTextDocumentParams, HoverParams, HoverProviderCapability, InitializeParams, PositionEncodingKind,
    ServerCapabilities, TextDocumentSyncCapability, TextDocumentSyncKind,
    notification::{
        DidChangeTextDocument, DidChangeWatchedFiles, DidCloseTextDocument, DidOpenTextDocument, DidSaveTextDocument,
        Notification as _, PublishDiagnostics, ShowMessage,
    },
    request::{CodeActionRequest, HoverRequest, Request as _},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::Choice;
use workspace::Workspace;

/// Why the server ended before the editor asked it to.
#[derive(Debug, thiserror::Error)]
pub enum LspError {
    /// The editor does not keep to the protocol, or has left.
    #[error("the editor left: {0}")]
    Protocol(#[from] ProtocolError),
    /// A message is not what its method takes.
    #[error("a message of the editor is not understood: {0}")]
    Message(#[from] serde_json::Error),
    /// The editor has no folder open.
    #[error("the editor has no folder open: open the one with the manifests")]
    NoFolder,
}

/// Serves one editor until it shuts the server down.
///
/// # Errors
/// If the editor leaves without shutting down, does not keep to the protocol, or has no folder open.
pub fn serve(connection: &Connection, choice: Choice) -> Result<(), LspError> {
    let params: InitializeParams = serde_json::from_value(connection.initialize(capabilities())?)?;
    let folder = place::folder(&params).ok_or(LspError::NoFolder)?;
    let mut server = Server { connection, workspace: Workspace::new(folder, choice) };
    server.check();
    while let Ok(message) = connection.receiver.recv() {
        let mut changed = false;
        for message in std::iter::once(message).chain(connection.receiver.try_iter()) {
            match message {
                Message::Request(request) if connection.handle_shutdown(&request)? => return Ok(()),
                Message::Request(request) => {
                    // A question is about the text as the editor shows it.
                    if std::mem::take(&mut changed) {
                        server.check();
                    }
                    server.answer(request);
                }
                Message::Notification(notification) => changed |= server.take_in(notification)?,
                Message::Response(_) => {}
            }
        }
        if changed {
            server.check();
        }
    }
    Ok(())
}

fn capabilities() -> serde_json::Value {
    let capabilities = ServerCapabilities {
        position_encoding: Some(PositionEncodingKind::UTF16),
        text_document_sync: Some(TextDocumentSyncCapability::Kind(TextDocumentSyncKind::FULL)),
        hover_provider: Some(HoverProviderCapability::Simple(true)),
        code_action_provider: Some(CodeActionProviderCapability::Simple(true)),
        ..ServerCapabilities::default()
    };
    serde_json::to_value(capabilities).unwrap_or_default()
}

struct Server<'c> {
    connection: &'c Connection,
    workspace: Workspace,
}

impl Server<'_> {
    /// Judges the folder and tells the editor what changed.
    fn check(&mut self) {
        match self.workspace.check() {
            Ok(published) => published.into_iter().for_each(|params| self.notify::<PublishDiagnostics>(params)),
            Err(message) => self.notify::<ShowMessage>(lsp_types::ShowMessageParams {
                typ: lsp_types::MessageType::ERROR,
                message: format!("meshproof: {message}"),
            }),
        }
    }

    /// Takes in what the editor tells; whether the folder must be judged again.
    fn take_in(&mut self, told: Notification) -> Result<bool, LspError> {
        match told.method.as_str() {
            DidOpenTextDocument::METHOD => {
                let params: DidOpenTextDocumentParams = serde_json::from_value(told.params)?;
                self.workspace.open(&params.text_document.uri, params.text_document.text);
            }
            DidChangeTextDocument::METHOD => {
                let params: DidChangeTextDocumentParams = serde_json::from_value(told.params)?;
                // Changes are whole texts: the last one counts.
                if let Some(change) = params.content_changes.into_iter().next_back() {
                    self.workspace.open(&params.text_document.uri, change.text);
                }
            }
            DidCloseTextDocument::METHOD => {
                let params: DidCloseTextDocumentParams = serde_json::from_value(told.params)?;
                self.workspace.close(&params.text_document.uri);
            }
            DidSaveTextDocument::METHOD | DidChangeWatchedFiles::METHOD => {}
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn answer(&self, request: Request) {
        let Request { id, method, params } = request;
        let result = match method.as_str() {
            HoverRequest::METHOD => asked(params, |params: HoverParams| {
                let at = params.text_document_position_params;
                self.workspace.hover(&at.text_document.uri, at.position)
            }),
            CodeActionRequest::METHOD => asked(params, |params: CodeActionParams| {
                self.workspace.actions(&params.text_document.uri, params.range)
            }),
            _ => Err((ErrorCode::MethodNotFound, format!("`{method}` is not offered"))),
        };
        let response = match result {
            Ok(result) => Response::new_ok(id, result),
            Err((code, message)) => Response::new_err(id, code as i32, message),
        };
        // A send fails only when the editor has left; the loop then ends by itself.
        let _ = self.connection.sender.send(Message::Response(response));
    }

    fn notify<N: lsp_types::notification::Notification>(&self, params: N::Params) {
        let notification = Notification::new(N::METHOD.to_owned(), params);
        let _ = self.connection.sender.send(Message::Notification(notification));
    }
}

/// Reads a request's parameters and answers.
fn asked<P: DeserializeOwned, R: Serialize>(
    params: serde_json::Value,
    answer: impl FnOnce(P) -> R,
) -> Result<serde_json::Value, (ErrorCode, String)> {
    let params = serde_json::from_value(params).map_err(|error| (ErrorCode::InvalidParams, error.to_string()))?;
    serde_json::to_value(answer(params)).map_err(|error| (ErrorCode::InternalError, error.to_string()))
}
