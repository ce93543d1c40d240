"""Likelihoods of a vqaudio model, computed by PyTorch: a second opinion on our arithmetic, and on the file format.

    PYTHONPATH=../shared/peers python3 docs/pytorch/nll.py DATA MODEL.safetensors SIZE [SPLIT]

DATA is what ../shared/peers/prepare.py makes of the speech, SIZE small, base or large. The weights go into AudioVQVAE of
../shared/peers/models.py, and are measured as ../shared/peers/ref_eval.py does: every whole crop of 8192 samples of a split, in
order; shuffled = the codes of the crop before, wrong speaker = speaker + 1. Needs numpy, torch, safetensors.
"""
import json, math, sys
import numpy as np, torch, torch.nn.functional as F
from safetensors.torch import load_file
from models import AudioVQVAE, SIZES, WaveNetBTC, mulaw_float

T, B = 8192, 4


def convert(ours, model):
    """The weights of a vqaudio model under the names, and in the layouts, of AudioVQVAE over WaveNetBTC."""
    theirs, net = model.state_dict(), model.dec
    convolution = lambda w: w.permute(2, 1, 0)  # [taps, in, out] to [out, in, taps]
    for i in range(7):
        theirs[f'enc.net.{2 * i}.weight'] = convolution(ours[f'encoder.{i}.weight'])
        theirs[f'enc.net.{2 * i}.bias'] = ours[f'encoder.{i}.bias']
    theirs['vq.embed'] = ours['bottleneck.codebook']
    theirs['dec.emb.weight'], theirs['dec.spk.weight'] = ours['decoder.embed.weight'], ours['speakers.weight']
    r, s, layers = net.r, net.s, len(net.dils)
    condition, bias, speaker = (ours[f'decoder.{n}'] for n in ('condition.weight', 'condition.bias', 'global.weight'))
    for l in range(layers):
        gates = slice(l * 2 * r, (l + 1) * 2 * r)
        theirs[f'dec.conv.{l}.weight'] = torch.cat(list(ours[f'decoder.stack.dilated.{l}'])).t()
        theirs[f'dec.conv.{l}.bias'] = bias[gates]
        theirs[f'dec.loc.{l}.weight'], theirs[f'dec.glob.{l}.weight'] = condition[0, :, gates].t(), speaker[0, :, gates].t()
        residual = ours[f'decoder.stack.residual.{l}'] if l < layers - 1 else torch.zeros(r, r)  # ours has none in the last layer
        theirs[f'dec.rs.{l}.weight'] = torch.cat([residual.t(), ours['decoder.stack.skip'][l].t()])
        theirs[f'dec.rs.{l}.bias'] = torch.cat([torch.zeros(r), ours['decoder.stack.bias'] if l == 0 else torch.zeros(s)])
    for a, b in (('o1', 'out1'), ('o2', 'out2')):
        theirs[f'dec.{a}.weight'], theirs[f'dec.{a}.bias'] = ours[f'decoder.{b}.weight'][0].t(), ours[f'decoder.{b}.bias']
    return {name: w.contiguous() for name, w in theirs.items()}


def main(data, weights, size, split='valid'):
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    speakers = len(json.load(open(f'{data}/spk.json')))
    model = AudioVQVAE(WaveNetBTC(cond='code', fused=True, nspk=speakers, **SIZES[size])).eval()
    model.load_state_dict(convert(load_file(weights), model))
    samples, utterances = np.load(f'{data}/{split}.npy'), np.load(f'{data}/{split}_idx.npy')
    crops = [(at + i * T, speaker) for at, n, speaker in utterances for i in range(n // T)]
    total, counts, batches = dict(true=0., shuffled=0., constant=0., wrong_speaker=0.), torch.zeros(model.vq.k), len(crops) // B
    for b in range(batches):
        batch = crops[b * B:(b + 1) * B]
        x = torch.from_numpy(np.stack([samples[at:at + T] for at, _ in batch]).astype(np.int64))
        speaker = torch.tensor([s for _, s in batch])
        z, codes, _ = model.vq(model.enc(mulaw_float(x).unsqueeze(1)).transpose(1, 2))
        z, counts = z.transpose(1, 2), counts + torch.bincount(codes, minlength=model.vq.k)
        nll = lambda z, speaker: F.cross_entropy(model.dec(x, z, speaker), x).item() / batches
        total['true'] += nll(z, speaker)
        total['shuffled'] += nll(z.roll(1, 0), speaker)
        total['constant'] += nll(z[:1, :, :1].expand_as(z).contiguous(), speaker)
        total['wrong_speaker'] += nll(z, (speaker + 1) % speakers)
    p = counts / counts.sum()
    print(json.dumps({**{k: round(v, 4) for k, v in total.items()}, 'crops': batches * B,
                      'perplexity': round(math.exp(-(p * (p + 1e-10).log()).sum()), 1), 'used': int((counts > 0).sum())}))


main(*sys.argv[1:])
