package chat

import (
	"bytes"
	"context"
	"crypto/tls"
	_ "embed"
	"errors"
	"fmt"
	"html/template"
	"net"
	"regexp"
	"strconv"
	"strings"

	"github.com/wneessen/go-mail"
)

// MailConfig says how e-mail is sent.
type MailConfig struct {
	Server string // host and port
	// Protection is "starttls", which is insisted on, "implicit", or "none".
	Protection string
	User       string                 // empty: nobody logs in
	Password   func() (string, error) // asked each time
	From       string
	To         []string
	// TLS is for tests; nil: what the system trusts.
	TLS *tls.Config
}

// Mail sends e-mail. What is said of one rollout is one thread to those who read it.
type Mail struct{ cfg MailConfig }

var _ Medium = (*Mail)(nil)

// NewMail returns a sender; nothing is asked yet.
func NewMail(cfg MailConfig) *Mail { return &Mail{cfg} }

// Send sends one e-mail to everybody. Its Message-ID is made of the post's key: who gets it twice can tell.
func (m *Mail) Send(ctx context.Context, p Post) (string, error) {
	msg, err := m.message(p)
	if err != nil {
		return "", &Error{Text: line(err.Error(), maxLine)}
	}
	c, err := m.client()
	if err != nil {
		return "", &Error{Text: line(err.Error(), maxLine)}
	}
	if err := c.DialAndSendWithContext(ctx, msg); err != nil {
		return "", mailError(err)
	}
	return msg.GetMessageID(), nil
}

func (m *Mail) client() (*mail.Client, error) {
	host, port, err := net.SplitHostPort(m.cfg.Server)
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return nil, fmt.Errorf("the server's port %q is no number", port)
	}
	o := []mail.Option{mail.WithPort(n), mail.WithTimeout(patience), mail.WithoutNoop()}
	switch m.cfg.Protection {
	case "implicit":
		o = append(o, mail.WithSSL())
	case "none":
		o = append(o, mail.WithTLSPolicy(mail.NoTLS))
	default:
		o = append(o, mail.WithTLSPolicy(mail.TLSMandatory))
	}
	if t := m.cfg.TLS; t != nil {
		o = append(o, mail.WithTLSConfig(t))
	}
	if m.cfg.User != "" {
		password, err := m.cfg.Password()
		if err != nil {
			return nil, err
		}
		o = append(o, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(m.cfg.User), mail.WithPassword(password))
	}
	return mail.NewClient(host, o...)
}

func (m *Mail) message(p Post) (*mail.Msg, error) {
	msg := mail.NewMsg()
	if err := msg.FromFormat("rebuilder", m.cfg.From); err != nil {
		return nil, err
	}
	if err := msg.To(m.cfg.To...); err != nil {
		return nil, err
	}
	msg.Subject(line(p.Title, maxLine))
	msg.SetDate()
	msg.SetMessageIDWithValue(m.id(p.Key))
	thread := "<" + m.id(p.Rollout) + ">" // nobody sent it: it ties together what is of one rollout
	msg.SetGenHeader(mail.HeaderInReplyTo, thread)
	msg.SetGenHeader(mail.HeaderReferences, thread)
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // so that nobody's holiday answers
	msg.SetUserAgent("rebuilder")
	html, err := htmlOf(p)
	if err != nil {
		return nil, err
	}
	msg.SetBodyString(mail.TypeTextPlain, p.Text())
	msg.AddAlternativeString(mail.TypeTextHTML, html)
	return msg, nil
}

var notID = regexp.MustCompile(`[^A-Za-z0-9.-]+`)

// id is a Message-ID without its brackets, the same for the same key.
func (m *Mail) id(key string) string {
	_, domain, _ := strings.Cut(m.cfg.From, "@")
	return notID.ReplaceAllString(key, ".") + ".rebuilder@" + notID.ReplaceAllString(domain, ".")
}

func mailError(err error) error {
	var s *mail.SendError
	if errors.As(err, &s) && s.ErrorCode() > 0 {
		return &Error{Text: line(fmt.Sprintf("the mail server says %s", s.Error()), maxLine)}
	}
	return &Error{Text: line(err.Error(), maxLine)}
}

//go:embed mail.html
var mailHTML string

var mailTemplate = template.Must(template.New("mail").Parse(mailHTML))

// htmlOf is a post as a page of HTML, escaped for where each text stands.
func htmlOf(p Post) (string, error) {
	b := p.body()
	type itemView struct{ Text, URL string }
	type listView struct {
		Head  string
		Items []itemView
	}
	v := struct {
		Title string
		Facts []string
		Lists []listView
		Foot  []itemView
	}{Title: b.title, Facts: b.facts}
	for _, i := range b.foot {
		v.Foot = append(v.Foot, itemView{i.text, i.url})
	}
	for _, l := range b.lists {
		w := listView{Head: l.head}
		for _, i := range l.items {
			w.Items = append(w.Items, itemView{i.text, i.url})
		}
		v.Lists = append(v.Lists, w)
	}
	var out bytes.Buffer
	err := mailTemplate.Execute(&out, v)
	return out.String(), err
}
