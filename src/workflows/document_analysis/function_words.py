"""The words that hold sentences together: articles, pronouns, prepositions, conjunctions, auxiliaries.

They are few, every text uses them all the time, and they say nothing about its subject. So they
tell which language a text is in (``language.py``), and they separate its keywords (``keywords.py``).
The lists hold the closed word classes that any grammar of the language names, with the inflected
forms of its auxiliary and modal verbs, and for English the handful of verbs that RAKE's authors
stop at as well (use, give, make). Words are as ``words.normalized`` gives them.
"""

ENGLISH = """
a an the this that these those some any no none every each either neither both all half many much
more most few fewer less least several such same other another enough own
i me my mine myself we us our ours ourselves you your yours yourself yourselves he him his himself
she her hers herself it its itself they them their theirs themselves one ones oneself
who whom whose which what whoever whatever whichever when where why how whenever wherever however
somebody someone something somewhere anybody anyone anything anywhere nobody nothing nowhere
everybody everyone everything everywhere there here
of to in on at by for from with without within into onto upon out off over under above below up down
between among against about around across along through throughout during before after behind beside
besides beyond near since until till toward towards via per despite except like unlike than as
and or but nor so yet if unless because although though while whereas whether then else therefore
thus hence also too again once only just even still already ever never not very quite rather almost
often always sometimes perhaps maybe
am is are was were be been being have has had having do does did doing done
will would shall should can could may might must ought cannot
i'm i've i'll i'd you're you've you'll you'd he's he'll he'd she's she'll she'd it's it'll we're
we've we'll we'd they're they've they'll they'd that's there's what's who's let's
isn't aren't wasn't weren't don't doesn't didn't haven't hasn't hadn't won't wouldn't can't couldn't
shouldn't mustn't
use uses used using give gives gave given make makes made making get gets got
include includes included including etc
"""

GERMAN = """
der die das den dem des ein eine einen einem einer eines kein keine keinen keinem keiner keines
ich mich mir mein meine meinen meinem meiner meines du dich dir dein deine deinen deinem deiner
er ihn ihm sein seine seinen seinem seiner seines sie ihr ihre ihren ihrem ihrer ihres es
wir uns unser unsere unseren unserem unserer euch euer eure ihnen sich selbst man
dieser diese dieses diesen diesem jener jene jenes jenen jenem jeder jede jedes jeden jedem
alle alles allen allem aller beide beiden einige einigen etwas nichts niemand jemand manche mancher
viel viele vielen wenig wenige mehr andere anderen anderer anderes solche solcher solchen welche
welcher welches welchen welchem wer wen wem wessen was wo wann warum wie woher wohin derselbe dieselbe
in im an am auf aus bei beim bis durch für gegen hinter mit nach neben ohne seit über um unter von
vom vor während wegen zu zum zur zwischen gemäß innerhalb außerhalb gegenüber
und oder aber denn sondern sowie als dass daß wenn weil ob obwohl damit da indem bevor nachdem sobald
falls doch jedoch auch nur noch schon sehr so dann hier dort nun jetzt immer nie wieder nicht nein ja
dabei dadurch dafür dagegen daher daran darauf daraus darin darüber davon dazu deren dessen denen
hin her ab etwa bereits also weder entweder zwar sonst ganz
bin bist ist sind seid war warst waren wart gewesen sei seien wäre wären
habe hast hat haben habt hatte hatten gehabt hätte hätten
werde wirst wird werden werdet wurde wurden geworden worden würde würden
kann kannst können konnte konnten könnte könnten muss muß müssen musste mussten müsste
darf dürfen durfte soll sollen sollte sollten will wollen wollte wollten mag mögen möchte
"""

FRENCH = """
le la les l' un une des du de d' au aux ce cet cette ces c' ça cela ceci celui celle ceux celles
je j' me m' moi mon ma mes mien tu te t' toi ton ta tes il elle on lui son sa ses se s' soi
nous notre nos vous votre vos ils elles eux leur leurs y en
qui que qu' quoi dont où quel quelle quels quelles lequel laquelle lesquels lesquelles auquel duquel
tout toute tous toutes chaque plusieurs quelque quelques quelqu' aucun aucune autre autres même mêmes
tel telle tels telles rien personne certains certaines
à dans par pour sur sous avec sans entre vers chez contre depuis pendant avant après devant derrière
dès jusqu' jusque selon malgré parmi hors envers
et ou mais donc or ni car si comme quand lorsque lorsqu' puisque puisqu' parce afin ainsi alors aussi
bien encore jamais moins plus peu très trop toujours déjà ne n' pas non oui point ici là puis ensuite
soit tant cependant toutefois voici voilà
suis es est sommes êtes sont étais était étions étaient été étant être sera seront serait seraient
soit soient fut furent fût
ai as a avons avez ont avais avait avions avaient eu ayant avoir aura auront aurait auraient ait aient
peut peuvent pouvait pouvoir pourra pourrait doit doivent devait devoir fait faire font faut
"""

SPANISH = """
el la los las lo un una unos unas al del este esta esto estos estas ese esa eso esos esas
aquel aquella aquello aquellos aquellas
yo me mí mi mis mío tú te ti tu tus él ella ello ellos ellas le les se sí su sus suyo suya
nosotros nos nuestro nuestra nuestros nuestras vosotros vuestro vuestra usted ustedes
que qué quien quién quienes cual cuál cuales cuyo cuya cuando cuándo donde dónde como cómo cuanto
todo toda todos todas cada otro otra otros otras mismo misma mismos mismas algo alguien algún alguno
alguna algunos algunas nada nadie ningún ninguno ninguna mucho mucha muchos muchas poco poca pocos
tal tales tan tanto tanta demás ambos varios
a ante bajo con contra de desde durante en entre hacia hasta para por según sin sobre tras mediante
y e o u ni pero sino mas aunque si porque pues así también tampoco ya no muy más menos bien siempre
nunca aún todavía entonces luego después antes aquí allí ahora mientras solo sólo casi
soy eres es somos son era eras éramos eran fue fueron sido siendo ser será serán sería sea sean fuera
estoy está están estaba estaban estar estado esté
he has ha hemos han había habían haber habido hay haya hayan hubo habrá
tiene tienen tenía tener puede pueden podía poder podrá debe deben debía hace hacer
"""

ITALIAN = """
il lo la i gli le l' un uno una un' del dello della dell' dei degli delle al allo alla all' ai agli
alle dal dallo dalla dall' dai dagli dalle nel nello nella nell' nei negli nelle sul sullo sulla sull'
sui sugli sulle col coi
io me mi m' mio mia miei mie tu te ti t' tuo tua tuoi tue egli ella lui lei esso essa essi esse loro
si s' sé suo sua suoi sue noi ci c' nostro nostra nostri nostre voi vi v' vostro vostra ne gliene
questo questa questi queste quest' quello quella quelli quelle quell' quel quei quegli ciò
che chi cui quale quali quanto quanta quanti quante dove d' come quando perché
tutto tutta tutti tutte ogni ognuno altro altra altri altre stesso stessa stessi stesse qualche
qualcuno qualcosa alcuno alcuna alcuni alcune nessuno nessuna niente nulla molto molta molti molte
poco pochi tale tali tanto tanta più meno troppo
di a da in con su per tra fra senza sotto sopra verso contro durante dopo prima presso secondo entro
e ed o od ma però se né anche ancora già così non mai sempre poi ora qui qua là lì quindi dunque
mentre benché poiché affinché pure bene ben solo quasi
sono sei è siamo siete era ero erano eravamo stato stata stati state essere essendo sarà saranno
sarebbe sia siano fu furono fosse fossero
ho hai ha abbiamo avete hanno aveva avevo avevano avuto avere avrà abbia abbiano
può possono poteva potere potrà deve devono doveva dovere fatto fare
"""

PORTUGUESE = """
o a os as um uma uns umas do da dos das no na nos nas ao à aos às pelo pela pelos pelas
dum duma num numa deste desta destes destas desse dessa nesse nessa neste nesta
este esta isto estes estas esse essa isso esses essas aquele aquela aquilo aqueles aquelas
eu me mim meu minha meus minhas tu te ti teu tua ele ela eles elas lhe lhes se si seu sua seus suas
nós nosso nossa nossos nossas vós vos você vocês dele dela deles delas
que quem qual quais cujo cuja quando onde como quanto porquê
todo toda todos todas tudo cada outro outra outros outras mesmo mesma mesmos mesmas algo alguém algum
alguma alguns algumas nada ninguém nenhum nenhuma muito muita muitos muitas pouco pouca poucos tal
tais tão tanto tanta ambos qualquer quaisquer vários
ante após até com contra de desde durante em entre para perante por sem sob sobre segundo
e ou mas nem porém embora se porque pois assim também já não sim mais menos bem sempre nunca ainda
então logo depois antes aqui ali lá agora enquanto só apenas quase
sou és é somos são era eras éramos eram foi foram sido sendo ser será serão seria seja sejam fosse
estou está estão estava estavam estar estado esteja
hei há havia haver haja tenho tem têm temos tinha tinham ter tido tendo terá terão tenha tenham
pode podem podia poder poderá deve devem devia faz fazer
"""

DUTCH = """
de het een der den des deze dit die dat zulk zulke
ik mij me mijn jij je jou jouw u uw hij hem zijn zij ze haar hun hen wij we ons onze jullie zich
zichzelf zelf men
wie wat welke welk wiens waar wanneer waarom hoe waarin waarop waarvan waarmee waarbij waardoor
alle alles al iedere ieder iedereen elk elke ander andere anderen beide enige enkele sommige veel
vele weinig meer meest minder iets niets iemand niemand geen zo'n zelfde dezelfde hetzelfde
in op aan te ten ter van voor met zonder door over onder bij naar om uit tot tegen tussen tijdens
na sinds volgens binnen buiten boven achter naast jegens wegens
en of maar want dus noch als dan toen toch omdat doordat zodat opdat terwijl indien tenzij hoewel
nadat voordat ook nog niet wel nooit altijd hier daar er erg nu reeds weer zeer heel zo slechts
evenals zowel hetzij alleen daarbij daarvan daarmee daarin daarop daardoor daarom
ben bent is was waren geweest wees zijn wezen
heb hebt heeft hebben had hadden gehad
word wordt worden werd werden geworden
zal zult zullen zou zouden kan kunt kunnen kon konden mag mogen mocht moet moeten moest moesten
wil willen wilde wilden doen doet deed gedaan gaan gaat
"""

SWEDISH = """
en ett den det de dem denna detta dessa dess sådan sådant sådana
jag mig min mitt mina du dig din ditt dina han honom hans hon henne hennes vi oss vår vårt våra
ni er ert era sig sin sitt sina man deras själv själva
vem vad vilken vilket vilka vilkas vars när där hur varför som
all allt alla annan annat andra varje var vart någon något några ingen inget inga inte båda samma
många mycket mer mera mest få mindre
i på av till från för med utan om under över vid hos efter före mellan mot genom enligt åt ur inom
utom bland sedan utav kring
och eller men så att då än eftersom medan innan därför fastän också även bara blott nu här dit
hit redan aldrig alltid ej icke ju väl igen upp ut in ner
är var varit vara vore har hade haft ha
blir blev blivit bli skall ska skulle kan kunde kunna må måste måtte vill ville vilja bör borde får
fick göra gör gjorde
"""

DANISH = """
en et den det de dem denne dette disse sådan sådant sådanne
jeg mig min mit mine du dig din dit dine han ham hans hun hende hendes vi os vor vort vore vores
i jer jeres sig sin sit sine man deres selv
hvem hvad hvilken hvilket hvilke hvis hvor hvornår hvordan hvorfor som der
al alt alle anden andet andre hver hvert enhver ethvert nogen noget nogle ingen intet begge samme
mange meget mere mest få mindre
på af til fra for med uden om under over ved hos efter før mellem mod imod gennem ifølge ad ud
blandt siden inden igennem
og eller men så at da end fordi mens hvorved hvorledes også kun blot nu her hen allerede
aldrig altid ikke ej jo vel igen op ned ind når skønt dog lige
er var været være har havde haft have
bliver blev blevet blive skal skulle kan kunne må måtte vil ville bør burde får fik gør gjorde gøre
"""

NORWEGIAN = """
en ei et den det de dem denne dette disse slik slikt slike sånn
jeg meg min mitt mine du deg din ditt dine han ham hans hun henne hennes vi oss vår vårt våre
dere deres sig seg sin sitt sine man selv
hvem hva hvilken hvilket hvilke hvis hvor når hvordan hvorfor som der
all alt alle annen annet andre hver hvert enhver ethvert noen noe ingen intet begge samme
mange mye meget mer mere mest få mindre
i på av til fra for med uten om under over ved hos etter før mellom mot gjennom ifølge ut
blant siden innen igjennom
og eller men så at da enn fordi mens også kun bare nå her hit allerede
aldri alltid ikke ei jo vel igjen opp ned inn dog
er var vært være har hadde hatt ha
blir ble blitt bli skal skulle kan kunne må måtte vil ville bør burde får fikk gjør gjorde gjøre
"""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: ISO 639-1 code → the language's function words.
FUNCTION_WORDS: dict[str, frozenset[str]] = {
    "da": _words(DANISH),
    "de": _words(GERMAN),
    "en": _words(ENGLISH),
    "es": _words(SPANISH),
    "fr": _words(FRENCH),
    "it": _words(ITALIAN),
    "nl": _words(DUTCH),
    "no": _words(NORWEGIAN),
    "pt": _words(PORTUGUESE),
    "sv": _words(SWEDISH),
}
